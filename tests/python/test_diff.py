"""Two runs side by side from Python; test_package.py compares it with what the command prints."""

from __future__ import annotations

import math

import pytest
import runcellar as rc


def two_runs(ws_dir: str) -> None:
    for number, name in enumerate(["left", "right"]):
        config = {"lr": 0.1 * (number + 1), "seed": 1, "opt": {"name": "sgd"}}
        with rc.init("p", id=name, name=name, config=config, dir=ws_dir, save_code=False) as run:
            run.log({"loss": math.nan, "acc": number})
            with open("train.py", "w", encoding="utf-8") as file:
                file.write(f"x = {number}\n")
            run.log_code(".", name="src")


def test_what_differs_and_everything_are_listed(ws_dir: str) -> None:
    two_runs(ws_dir)
    workspace = rc.Workspace(ws_dir)
    found = workspace.diff("left", workspace.run("right"))
    assert [run["id"] for run in found["runs"]] == ["left", "right"]
    assert found["config"] == [{"name": "lr", "left": 0.1, "right": 0.2}]
    assert {pair["name"] for pair in found["summary"]} == {"acc"}
    [code] = found["code"]
    assert (code["path"], code["change"]) == ("src/train.py", "changed")
    assert code["diff"].splitlines()[-2:] == ["-x = 0", "+x = 1"]
    whole = workspace.diff("left", "right", all=True)
    assert [pair["name"] for pair in whole["config"]] == ["lr", "seed", "opt.name"]
    same = workspace.diff("left", "left")
    assert all(same[part] == [] for part in ["source", "config", "summary", "packages", "code"])


def test_runs_that_are_not_there_are_named(ws_dir: str) -> None:
    two_runs(ws_dir)
    workspace = rc.Workspace(ws_dir)
    with pytest.raises(rc.NotFoundError, match="nowhere"):
        workspace.diff("left", "nowhere")
    with pytest.raises(TypeError):
        workspace.diff("left", 3)  # type: ignore[arg-type]
