"""Purges from Python: the plan, the receipt, and what is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import runcellar as rc


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> rc.Workspace:
    monkeypatch.setenv("RUNCELLAR_DIR", str(tmp_path / "w"))
    for name in ["goes", "stays"]:
        with rc.init("p", id=f"run-{name}", name=name) as run:
            for step in range(5):
                run.log({"n": step})
    return rc.Workspace()


def test_a_plan_changes_nothing(workspace: rc.Workspace) -> None:
    plan = workspace.purge("run-goes", dry_run=True)
    assert [(item["kind"], item["id"]) for item in plan["plan"]] == [("run", "run-goes")]
    assert plan["objects"] > 0
    assert plan["bytes"] > 0
    assert {opener["kind"] for opener in plan["residual_openers"]} >= {"key_file"}
    assert len(workspace.runs()) == 2


def test_a_purge_leaves_a_receipt_and_everything_else(
    workspace: rc.Workspace, tmp_path: Path
) -> None:
    receipt = workspace.purge([workspace.run("goes")], receipt=tmp_path / "receipt.json")
    assert receipt["receipt"] == 1
    assert receipt["complete"] is True
    assert json.loads((tmp_path / "receipt.json").read_text()) == receipt
    assert (tmp_path / "receipt.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(rc.NotFoundError):
        workspace.run("run-goes")
    assert workspace.run("stays").series("n").values.tolist() == list(range(5))
    assert workspace.check(read_data=True)


def test_what_is_not_understood_or_not_there_is_said_before_anything_happens(
    workspace: rc.Workspace, tmp_path: Path
) -> None:
    with pytest.raises(rc.NotFoundError):
        workspace.purge("run-nowhere")
    with pytest.raises(rc.Error, match="older:90d"):
        workspace.purge("older:90")
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(OSError, match="taken"):
        workspace.purge("run-goes", receipt=tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
    assert len(workspace.runs()) == 2
