"""What is recorded of a run's surroundings: system metrics and the console."""

from __future__ import annotations

import subprocess
import sysconfig
import time
from pathlib import Path

import pytest
import runcellar as rc
from conftest import Script

COMMAND = Path(sysconfig.get_path("scripts")) / "runcellar"


def _sampled(ws_dir: str, run_id: str) -> rc.StoredRun:
    """Wait for the first sample, which is due a second after the start."""
    for _ in range(3000):
        stored = rc.Workspace(ws_dir).run(run_id)
        try:
            stored.series("system/cpu")
        except rc.NotFoundError:
            time.sleep(0.02)
        else:
            return stored
    raise AssertionError("no sample comes")


def test_system_metrics_are_on_by_default_and_apart_from_the_users(
    ws_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNCELLAR_SYSTEM")
    run = rc.init("p", dir=ws_dir)
    run.log({"loss": 0.5})
    stored = _sampled(ws_dir, run.id)
    run.finish()
    stored = rc.Workspace(ws_dir).run(run.id)
    assert [metric["name"] for metric in stored.metrics()] == ["loss"]
    assert stored.summary == {"loss": 0.5}
    assert list(stored.history().to_arrow().column_names) == ["step", "time", "loss"]
    table = stored.system().to_arrow()
    assert table.column_names[:2] == ["step", "time"]
    assert all(name.startswith("system/") for name in table.column_names[2:])
    assert table.num_rows >= 1
    some = stored.system(["system/cpu", "system/memory"])
    assert set(some.to_arrow().column_names) == {"step", "time", "system/cpu", "system/memory"}
    memory = stored.series("system/process/memory")
    assert memory.values.dtype.kind == "i"
    assert memory.values[0] > 1_000_000
    with pytest.raises(rc.NotFoundError):
        stored.system("system/none")


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are found in /proc")
@pytest.mark.parametrize("how", ["argument", "variable", "setting", "on"])
def test_system_metrics_are_switched_off_by_argument_variable_and_setting(
    ws_dir: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.delenv("RUNCELLAR_SYSTEM")
    rc.init("p", dir=ws_dir, system=False).finish()
    if how == "variable":
        monkeypatch.setenv("RUNCELLAR_SYSTEM", "off")
    if how == "setting":
        set_off = [str(COMMAND), "--workspace", ws_dir, "config", "set", "system", "off"]
        subprocess.run(set_off, check=True)
    before = _threads()
    with rc.init("p", dir=ws_dir, system=False if how == "argument" else None):
        # One that syncs the journal, and one that samples.
        assert _threads() - before == (2 if how == "on" else 1)
    assert _threads() == before


def test_a_variable_that_is_neither_on_nor_off_is_refused(
    ws_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNCELLAR_SYSTEM", "perhaps")
    with pytest.raises(rc.InvalidArgumentError, match="RUNCELLAR_SYSTEM"):
        rc.init("p", dir=ws_dir)


def test_the_argument_beats_the_variable(ws_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNCELLAR_SYSTEM", "off")
    run = rc.init("p", dir=ws_dir, system=True)
    _sampled(ws_dir, run.id)
    run.finish()


def test_a_forked_child_does_not_sample(script: Script, ws_dir: str, tmp_path: Path) -> None:
    done = script(
        """
        import os, sys, time
        import runcellar as rc
        run = rc.init("p", dir=sys.argv[1], id="forked", system=True)
        child = os.fork()
        if child == 0:
            run.log({"of_child": 1})
            time.sleep(1.5)
            os._exit(0)
        os.waitpid(child, 0)
        run.finish()
        """,
        ws_dir,
    )
    assert done.returncode == 0, done.stderr
    stored = rc.Workspace(ws_dir).run("forked")
    times = list(stored.series("system/cpu").times)
    # A child that sampled would do so soon after its parent; the parent's come seconds apart.
    assert times
    assert all(b - a > 1_000_000 for a, b in zip(times, times[1:]))
