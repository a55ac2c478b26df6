"""Rows of a running run are seen by others as they are logged."""

from __future__ import annotations

import subprocess
import sys

import pytest
import runcellar as rc

WRITER = """
import sys
import runcellar as rc
run = rc.init("p", id="followed", dir=sys.argv[1])
for step in range(5):
    run.log({"loss": step / 2, "n": step})
print("ready", flush=True)
sys.stdin.readline()
run.log({"loss": 10.0})
run.log({"n": 7})
run.finish()
"""


def test_rows_come_as_another_process_logs_them_and_end_with_the_run(ws_dir: str) -> None:
    rc.init(dir=ws_dir).finish()
    command = [sys.executable, "-c", WRITER, ws_dir]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        stored = rc.Workspace(ws_dir).run("followed")
        rows = stored.follow()
        first = [next(rows) for _ in range(5)]
        assert [(row["step"], row["loss"], row["n"]) for row in first] == [
            (step, step / 2, step) for step in range(5)
        ]
        assert first[0]["time"].tzinfo is not None
        assert list(stored.follow("n", timeout=0.0))[-1] == {
            "step": 4,
            "time": first[4]["time"],
            "n": 4,
        }
        writer.stdin.write("go\n")
        writer.stdin.flush()
        assert [(row["step"], row.get("loss"), row.get("n")) for row in rows] == [
            (5, 10.0, None),
            (6, None, 7),
        ]
    assert len(list(stored.follow(["loss"]))) == 6


@pytest.mark.parametrize("bad", [{"poll": -1.0}, {"timeout": -0.5}, {"poll": float("nan")}])
def test_times_to_wait_are_checked(ws_dir: str, bad: dict[str, float]) -> None:
    with rc.init(dir=ws_dir) as run:
        run.log({"x": 1})
    with pytest.raises(rc.InvalidArgumentError, match="seconds"):
        rc.Workspace(ws_dir).run(run.id).follow(**bad)
