"""How a run stands after its process ended, however it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import runcellar as rc

START = """
import atexit, os, signal, sys, threading
import runcellar as rc
run = rc.init("p", dir=sys.argv[1], id="the-run")
run.log({"x": 1})
"""


@pytest.mark.parametrize(
    ("end", "state", "exit_code"),
    [
        ("pass", "finished", 0),
        ("run.finish()", "finished", None),
        ("run.finish(0)", "finished", 0),
        ("run.finish(exit_code=4)", "failed", 4),
        ("sys.exit()", "finished", 0),
        ("sys.exit(0)", "finished", 0),
        ("sys.exit(3)", "failed", 3),
        ("sys.exit(256 + 7)", "failed", 7),
        ("sys.exit(256)", "finished", 0),
        ("with run:\n    sys.exit(-1)", "failed", 255),
        ("raise SystemExit(5)", "failed", 5),
        ("sys.exit('message')", "failed", 1),
        ("raise ValueError('oops')", "failed", 1),
        ("1 / 0", "failed", 1),
        ("raise KeyboardInterrupt", "killed", 130),
        ("os.kill(os.getpid(), signal.SIGINT); signal.pause()", "killed", 130),
        ("os._exit(0)", "crashed", None),
        ("os.kill(os.getpid(), signal.SIGKILL)", "crashed", None),
        ("os.kill(os.getpid(), signal.SIGTERM); signal.pause()", "crashed", None),
        ("os.abort()", "crashed", None),
        ("atexit.register(lambda: run.log({'x': 1}))", "finished", 0),
        ("del run; import gc; gc.collect()", "finished", 0),
        ("threading.Thread(target=lambda: run.log({'x': 1})).start()", "finished", 0),
        ("try:\n    1 / 0\nexcept ZeroDivisionError:\n    pass", "finished", 0),
        ("with run:\n    pass", "finished", None),
        ("with run:\n    raise ValueError", "failed", 1),
        ("with run:\n    raise KeyboardInterrupt", "killed", 130),
        ("with run:\n    sys.exit(7)", "failed", 7),
        ("with run:\n    sys.exit()", "finished", 0),
    ],
)
def test_the_state_says_how_the_process_ended(
    ws_dir: str, script: Any, end: str, state: str, exit_code: int | None
) -> None:
    done = script(START + end + "\n", ws_dir)
    stored = rc.Workspace(ws_dir).run("the-run")
    assert (stored.state, stored.exit_code) == (state, exit_code), done.stderr
    assert stored.summary == {"x": 1}
    assert stored.program == str(os.path.abspath("main_script.py"))


def test_a_crashed_run_keeps_every_row_and_can_be_resumed(ws_dir: str, script: Any) -> None:
    script(
        START + "for n in range(5000):\n    run.log({'n': n})\nos.kill(os.getpid(), 9)\n", ws_dir
    )
    workspace = rc.Workspace(ws_dir)
    assert workspace.run("the-run").state == "crashed"
    assert workspace.run("the-run").series("n").values.tolist() == list(range(5000))
    with rc.init(dir=ws_dir, id="the-run", resume="must") as run:
        assert run.step == 5001
    assert workspace.run("the-run").state == "finished"


def test_values_dropped_are_said_at_exit(ws_dir: str, script: Any) -> None:
    done = script(START + "for _ in range(3):\n    run.log({'bad': object()})\n", ws_dir)
    assert done.returncode == 0
    assert done.stderr.count("RuncellarWarning") == 1
    assert "runcellar: run the-run: 3 values were dropped" in done.stderr
    assert rc.Workspace(ws_dir).run("the-run").dropped == 3


def test_a_forked_child_that_exits_does_not_end_the_run(ws_dir: str, script: Any) -> None:
    for end in ("sys.exit(3)", "pass", "raise ValueError"):
        source = (
            START
            + f"""
pid = os.fork()
if pid == 0:
    run.log({{"child": 1}})
    {end}
else:
    os.waitpid(pid, 0)
    assert rc.Workspace(sys.argv[1]).run("the-run").state == "running"
    run.log({{"parent": 1}})
    os._exit(0)
"""
        )
        source = source.replace("the-run", end[:4])
        done = script(source, ws_dir)
        assert done.returncode == 0, done.stderr
        stored = rc.Workspace(ws_dir).run(end[:4])
        assert stored.state == "crashed"
        assert stored.summary == {"x": 1, "child": 1, "parent": 1}


def test_an_interactive_session_that_saw_an_error_is_no_failure(ws_dir: str) -> None:
    source = f"import runcellar as rc\nrun = rc.init(dir={ws_dir!r}, id='the-run')\n1 / 0\n"
    done = subprocess.run(
        [sys.executable, "-i", "-c", "pass"],
        input=source,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "ZeroDivisionError" in done.stderr
    assert rc.Workspace(ws_dir).run("the-run").state == "finished"


def test_sigterm_turned_into_an_exit_is_a_failure(ws_dir: str, script: Any) -> None:
    source = START + (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()\n"
    )
    done = script(source, ws_dir)
    assert done.returncode == 143
    stored = rc.Workspace(ws_dir).run("the-run")
    assert (stored.state, stored.exit_code) == ("failed", 143)


def test_ctrl_c_still_ends_the_process_by_the_signal(ws_dir: str, script: Any) -> None:
    done = script(START + "os.kill(os.getpid(), signal.SIGINT)\nsignal.pause()\n", ws_dir)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


def test_closed_standard_streams_do_not_matter(ws_dir: str, script: Any) -> None:
    done = script(
        START + "run.log({'bad': object()})\nos.close(2)\nos.close(1)\n",
        ws_dir,
    )
    assert done.returncode in (0, 120)
    assert rc.Workspace(ws_dir).run("the-run").dropped == 1
