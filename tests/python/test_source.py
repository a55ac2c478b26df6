"""Where the code of a run comes from: git and packages, found behind the program's back."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import stat
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import runcellar as rc
from conftest import Script

COMMAND = Path(sysconfig.get_path("scripts")) / "runcellar"
GIT = shutil.which("git")


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNCELLAR_SOURCE")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a work tree with one commit, which is the current directory."""
    assert GIT, "git is needed to make repositories"
    top = tmp_path / "tree"
    top.mkdir()
    monkeypatch.chdir(top)
    (top / "train.py").write_text("print(1)\n")
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([GIT, "init", "--quiet", "--initial-branch=main"], check=True)
    subprocess.run([GIT, "add", "."], check=True)
    subprocess.run([GIT, *who, "commit", "--quiet", "--message", "first"], check=True)
    url = "https://someone:hunter2@example.org/code.git"
    subprocess.run([GIT, "remote", "add", "origin", url], check=True)
    return top


def _fake(directory: Path, name: str, script: str) -> None:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _source(ws_dir: str, run: rc.Run) -> dict[str, Any]:
    return rc.Workspace(ws_dir).run(run.id).source()


def test_it_is_recorded_by_default_without_credentials(ws_dir: str, tree: Path) -> None:
    run = rc.init(dir=ws_dir)
    run.finish()
    source = _source(ws_dir, run)
    assert source["branch"] == "main"
    assert source["remote"] == "https://example.org/code.git"
    assert source["dirty"] is False
    # What pip calls them, and of which version they are.
    installed = {
        distribution.name.lower().replace("_", "-").replace(".", "-"): distribution.version
        for distribution in reversed(list(importlib.metadata.distributions()))
    }
    assert installed
    assert source["packages"] == installed
    (tree / "train.py").write_text("print(2)\n")
    run = rc.init(dir=ws_dir)
    run.finish()
    assert _source(ws_dir, run)["dirty"] is True


@pytest.mark.parametrize("how", ["argument", "variable", "setting"])
def test_it_is_switched_off_by_argument_variable_and_setting(
    ws_dir: str, tree: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    rc.init(dir=ws_dir, source=False).finish()
    if how == "variable":
        monkeypatch.setenv("RUNCELLAR_SOURCE", "off")
    if how == "setting":
        set_off = [str(COMMAND), "--workspace", ws_dir, "config", "set", "source", "off"]
        subprocess.run(set_off, check=True)
    run = rc.init(dir=ws_dir, source=False if how == "argument" else None)
    run.finish()
    source = _source(ws_dir, run)
    assert source["branch"] == "main"
    assert (source["remote"], source["dirty"], source["packages"]) == (None, None, {})


def test_a_git_that_hangs_is_killed_and_the_rest_is_recorded(
    ws_dir: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    _fake(tmp_path / "bin", "git", f"echo $$ >> {told}; sleep 600 & echo $! >> {told}; wait")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    run = rc.init(dir=ws_dir)
    run.log({"loss": 1.0})
    run.finish()
    source = _source(ws_dir, run)
    assert source["dirty"] is None
    assert source["remote"] == "https://example.org/code.git"
    assert source["packages"]
    # Neither it nor what it started is left.
    started = [int(number) for number in told.read_text().split()]
    assert len(started) >= 2
    for number in started:
        state = Path(f"/proc/{number}/stat")
        assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_without_git_the_files_of_git_are_read(
    ws_dir: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    run = rc.init(dir=ws_dir)
    run.finish()
    source = _source(ws_dir, run)
    assert (source["branch"], source["dirty"]) == ("main", None)
    assert source["remote"] == "https://example.org/code.git"


def test_who_waits_for_any_child_meets_none_of_ours(
    ws_dir: str, tree: Path, script: Script
) -> None:
    done = script(
        f"""
        import os
        import runcellar as rc

        run = rc.init(dir={ws_dir!r})
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("none")
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.wait() == (child, 7 << 8)
        run.finish()
        """
    )
    assert done.stdout == "none\n", done.stderr


def test_git_of_the_users_own_hook_is_not_led_astray(
    ws_dir: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that git sets for its hooks speak of another repository."""
    subprocess.run([str(GIT), "init", "--quiet", str(tmp_path / "other")], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / ".git" / "index"))
    run = rc.init(dir=ws_dir)
    run.finish()
    assert _source(ws_dir, run)["dirty"] is False
