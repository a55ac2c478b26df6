"""An agent is started where a remote is enabled, and nowhere else; `finish` waits for it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import runcellar as rc
from conftest import Script
from runcellar.__main__ import command

PATIENCE_S = 120


@pytest.fixture
def call(ws_dir: str) -> Callable[..., Any]:
    """Run the command on the workspace; returns what it prints as JSON."""
    program = command()
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the wheel has no command")
        pytest.skip("the wheel was built without the command")

    def run(*args: str, code: int = 0) -> Any:
        full = [program, *args, "--workspace", ws_dir, "--json"]
        done = subprocess.run(full, check=False, capture_output=True, text=True)
        assert done.returncode == code, done
        return json.loads(done.stdout) if done.stdout else None

    return run


@pytest.fixture
def shared(ws_dir: str, tmp_path: Path, call: Callable[..., Any]) -> Iterator[Path]:
    """A folder that is an enabled remote of the workspace; its agent ends with the test."""
    folder = tmp_path / "shared"
    folder.mkdir()
    call("init")
    asked = call("remote", "add", "origin", str(folder))
    call("remote", "enable", "origin", "--consent", asked["consent_hash"])
    yield folder
    deadline = time.monotonic() + PATIENCE_S
    while (pid := call("sync", "status")["agent"]["pid"]) is not None:
        assert time.monotonic() < deadline
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.05)


def no_start(*args: Any, **kwargs: Any) -> Any:
    """Stand for `Popen` where no process may be started."""
    raise AssertionError(f"started: {args}")


def test_a_run_is_on_the_remote_when_finish_returns(
    shared: Path, ws_dir: str, call: Callable[..., Any], script: Script
) -> None:
    done = script(
        f"""
        import runcellar as rc

        with rc.init("p", dir={ws_dir!r}, id="one", sync_timeout={PATIENCE_S}) as run:
            run.log({{"loss": 0.5}})
        rc.init("p", dir={ws_dir!r}, id="two", sync_timeout={PATIENCE_S}).log({{"loss": 0.5}})
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    status = call("sync", "status")
    assert status["remotes"][0]["unsent"] == {"runs": 0, "objects": 0, "bytes": 0}
    assert status["agent"]["running"], "it outlives who started it"
    assert any(shared.iterdir())


def test_finish_says_what_is_left_where_the_remote_is_gone(
    shared: Path, ws_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rc.init("p", dir=ws_dir, id="zero", sync_timeout=PATIENCE_S).finish()
    assert capsys.readouterr().err == ""
    shutil.rmtree(shared)
    run = rc.init("p", dir=ws_dir, id="one", sync_timeout=PATIENCE_S)
    run.log({"loss": 0.5})
    run.finish()
    said = capsys.readouterr().err
    assert said.startswith("runcellar: run one is not all on origin yet"), said
    # Without a wait it is said all the same.
    rc.init("p", dir=ws_dir, id="two", sync_timeout=0).finish()
    assert "run two is not all on origin yet" in capsys.readouterr().err


def test_nothing_is_started_without_an_enabled_remote(
    ws_dir: str, tmp_path: Path, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P10: a remote that was added, and a surrounding that asks for sync, enable nothing."""
    call("init")
    (tmp_path / "shared").mkdir()
    call("remote", "add", "origin", str(tmp_path / "shared"))
    for name in ("RUNCELLAR_SYNC", "RUNCELLAR_REMOTE", "RUNCELLAR_ONLINE", "WANDB_MODE"):
        monkeypatch.setenv(name, "online")
    monkeypatch.setattr(subprocess, "Popen", no_start)
    sys.modules.pop("runcellar._sync", None)
    rc.init("p", dir=ws_dir).finish()
    rc.init("p", mode="disabled").finish()
    assert "runcellar._sync" not in sys.modules, "not even the module is imported"
    assert list((tmp_path / "shared").iterdir()) == []


def test_offline_starts_nothing_and_waits_for_nothing(
    shared: Path,
    ws_dir: str,
    call: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", no_start)
        patched.setenv("RUNCELLAR_OFFLINE", "1")
        rc.init("p", dir=ws_dir).finish()
        patched.delenv("RUNCELLAR_OFFLINE")
        offline = Path(ws_dir) / "OFFLINE"
        offline.touch()
        rc.init("p", dir=ws_dir).finish()
        offline.unlink()
    assert capsys.readouterr().err == ""
    assert list(shared.iterdir()) == []
    assert call("sync", "status")["remotes"][0]["unsent"]["runs"] == 2


def record_two(ws_dir: str) -> None:
    for name in ("one", "two"):
        run = rc.init("p", dir=ws_dir, id=name)
        run.log({"loss": 0.5})
        run.finish()


def test_without_the_command_one_warning_says_so_and_recording_goes_on(
    shared: Path, ws_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runcellar.__main__.command", lambda: None)
    monkeypatch.setattr("runcellar._sync._warned", False)
    with pytest.warns(rc.RuncellarWarning, match="the command runcellar that would send") as told:
        record_two(ws_dir)
    assert len(told) == 1
    assert [run["id"] for run in rc.Workspace(ws_dir).runs()] == ["two", "one"]
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_time_to_wait_that_is_none_is_refused(ws_dir: str, value: float) -> None:
    with pytest.raises(rc.InvalidArgumentError, match="sync_timeout"):
        rc.init("p", dir=ws_dir, sync_timeout=value)


def test_finish_says_that_a_run_is_held_back_and_does_not_wait_for_it(
    shared: Path, ws_dir: str, call: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert shared.is_dir()
    run = rc.init("p", dir=ws_dir, id="one", redact=False, sync_timeout=PATIENCE_S)
    run.config["password"] = "sword-fish-7"
    before = time.monotonic()
    run.finish()
    assert time.monotonic() - before < PATIENCE_S
    said = capsys.readouterr().err
    assert "run one does not go to origin: held back: a secret in it (config.password)" in said
    assert "sword-fish-7" not in said
    call("secrets", "--allow", call("secrets", "one")[0]["id"])
    call("sync", "origin")
    assert call("sync", "status")["remotes"][0]["held"] == []


def test_what_lies_on_a_remote_alone_is_brought_where_it_is_read(
    shared: Path,
    ws_dir: str,
    tmp_path: Path,
    call: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with rc.init("p", dir=ws_dir, id="long", sync_timeout=PATIENCE_S) as run:
        noise = random.Random(1)
        for _ in range(20_000):
            run.log({"loss": noise.random()})
    call("sync")
    here = rc.Workspace(ws_dir)
    (key_file,) = (str(path) for path in Path.home().glob(".config/runcellar/keys/*.key"))
    other = str(tmp_path / "other")
    clone = ["clone", str(shared), other, "--metadata-only", "--key-file", key_file]
    subprocess.run([str(command()), *clone], check=True, capture_output=True)
    there = rc.Workspace(other, key_file=key_file)
    run = there.run("long")
    assert run.summary["loss"] == here.run("long").summary["loss"]
    monkeypatch.setenv("RUNCELLAR_OFFLINE", "1")
    with pytest.raises(rc.EvictedError, match="RUNCELLAR_OFFLINE"):
        run.series("loss")
    monkeypatch.delenv("RUNCELLAR_OFFLINE")
    assert run.series("loss").values.tolist() == here.run("long").series("loss").values.tolist()
    assert len(there.run("long").history()) == 20_000
