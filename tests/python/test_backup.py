"""Backups from Python: while a run is recorded, read like a workspace, and made one again."""

from __future__ import annotations

from pathlib import Path

import pytest
import runcellar as rc


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNCELLAR_DIR", str(tmp_path / "w"))
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*same disk.*")
def test_a_backup_is_made_while_a_run_is_recorded_and_becomes_a_workspace(home: Path) -> None:
    with rc.init("digits", id="a-run") as run:
        for step in range(10):
            run.log({"n": step})
        report = rc.Workspace().backup(home / "copy", verify=True)
        assert report["verified"] is True
        assert report["missing"] == []
        assert report["copied"]["files"] >= 2
        assert report["key_file"].endswith(".key")
        copy = rc.Workspace(dir=home / "copy")
        assert copy.run("a-run").series("n").values.tolist() == list(range(10))
        restored = rc.restore_from(home / "copy", home / "new")
        assert restored.path == str(home / "new")
        assert restored.run("a-run").state == "crashed"
        assert restored.run("a-run").series("n").values.tolist() == list(range(10))
    assert rc.Workspace().run("a-run").state == "finished"
    assert restored.check(read_data=True)


def test_what_stands_in_the_way_is_not_overwritten(home: Path) -> None:
    with rc.init("digits"):
        pass
    workspace = rc.Workspace()
    with pytest.raises(rc.ExistsError, match="a workspace is there"):
        workspace.backup(home / "w")
    with pytest.raises(rc.NotFoundError, match="no backup at"):
        rc.restore_from(home / "w", home / "new")
    workspace.backup(home / "copy")
    with pytest.raises(rc.ExistsError, match="a workspace is there"):
        rc.restore_from(home / "copy", home / "w")
    with pytest.raises(rc.StorageError, match="it is a backup, which is only read"):
        rc.init("digits", dir=home / "copy")


def test_another_workspace_is_merged_once(home: Path) -> None:
    for name in ("w", "other"):
        with rc.init("digits", id=f"in-{name}", dir=home / name) as run:
            for step in range(10):
                run.log({"n": step})
    workspace = rc.Workspace()
    assert workspace.merge(home / "other", dry_run=True)["runs"]["new"] == 1
    report = workspace.merge(home / "other", projects=["digits"])
    assert report["runs"] == {"new": 1, "updated": 0, "unchanged": 0}
    assert (report["renamed"], report["left_out"]) == ([], [])
    assert workspace.run("in-other").series("n").values.tolist() == list(range(10))
    assert workspace.merge(home / "other")["runs"] == {"new": 0, "updated": 0, "unchanged": 1}
    with pytest.raises(rc.InvalidArgumentError, match="it is the workspace itself"):
        workspace.merge(home / "w")
    with pytest.raises(rc.NotFoundError, match="no workspace at"):
        workspace.merge(home / "nothing")
