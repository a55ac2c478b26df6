"""Ranks of one run, and how runs go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cellar_reader
import numpy as np
import pytest
import runcellar as rc

RANK = """
import os, sys
import runcellar as rc
rank = int(os.environ.get("RANK") or os.environ["SLURM_PROCID"])
with rc.init("p", dir=sys.argv[1], config={"world": 4}) as run:
    assert run.rank == rank
    for step in range(10):
        run.log({"loss": step + rank / 10, "rank0": 1} if rank == 0 else {"loss": step + rank / 10})
print(run.id, run.step, run.resumed)
"""

TORCH = {"TORCHELASTIC_RUN_ID": "job-1", "LOCAL_RANK": "0"}
SLURM = {"SLURM_JOB_ID": "71", "SLURM_STEP_ID": "0"}


def read_independently(ws_dir: str) -> cellar_reader.Workspace:
    (key_file,) = Path.home().glob(".config/runcellar/keys/*.key")
    return cellar_reader.Workspace(ws_dir, key_file)


def assert_reads_alike(ws_dir: str, run_id: str) -> None:
    """Compare a run with what the independent reader makes of it."""
    ws = rc.Workspace(ws_dir)
    run, other = ws.run(run_id), read_independently(ws_dir).runs[run_id]
    states = ("running", "finished", "failed", "crashed", "killed")
    assert run.state == states[other.state]
    assert run.summary == {key: value for key, (value, _) in other.summary.items()}
    assert run.config == {key: value for key, (value, _) in other.config.items()}
    assert [metric["name"] for metric in run.metrics()] == list(other.points)
    for metric in run.metrics():
        points = other.points[metric["name"]]
        series = run.series(metric["name"])
        assert series.steps.tolist() == [step for step, *_ in points]
        assert series.times.tolist() == [time for _, time, *_ in points]
        assert series.values.tolist() == [value for *_, value in points]


def launch(script: str, ws_dir: str, job: dict[str, str], ranks: int) -> list[list[str]]:
    """Run a script once for each rank, all at once; return what each printed."""
    name = "SLURM_PROCID" if "SLURM_JOB_ID" in job else "RANK"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, ws_dir],
            env={**os.environ, **job, name: str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * ranks
    return [output.split() for output in outputs]


@pytest.mark.parametrize("job", [TORCH, SLURM], ids=["torchrun", "slurm"])
def test_ranks_of_one_job_record_one_run(ws_dir: str, job: dict[str, str]) -> None:
    outputs = launch(RANK, ws_dir, job, 4)
    assert outputs == [[outputs[0][0], "10", "False"]] * 4
    ws = rc.Workspace(ws_dir)
    assert ws.runs()["state"] == ["finished"]
    run = ws.run(outputs[0][0])
    series = run.series("loss")
    assert series.ranks is not None
    assert series.ranks.dtype == np.int32
    assert series.steps.tolist() == [step for step in range(10) for _ in range(4)]
    assert sorted(series.ranks[:4].tolist()) == [0, 1, 2, 3]
    np.testing.assert_allclose(series.values, series.steps + series.ranks / 10)
    of_two = run.series("loss", rank=2)
    np.testing.assert_allclose(of_two.values, np.arange(10) + 0.2)
    table = run.history()
    assert table.columns[:3] == ["step", "time", "rank"]
    assert len(table) == 40
    assert table[5]["rank"] == 1
    assert table[5]["rank0"] is None
    assert run.history(rank=3)["rank"] == [3] * 10
    assert run.series("loss", rank=9).steps.size == 0
    # The job is started again: each rank goes on with its own steps.
    again = launch(RANK, ws_dir, {**job, "TORCHELASTIC_RESTART_COUNT": "1"}, 2)
    assert again == [[outputs[0][0], "20", "True"]] * 2
    assert_reads_alike(ws_dir, run.id)


def test_a_run_of_one_process_has_no_ranks(ws_dir: str) -> None:
    with rc.init("p", dir=ws_dir) as run:
        assert (run.rank, run.resumed) == (0, False)
        run.log({"loss": 1.0})
    stored = rc.Workspace(ws_dir).run(run.id)
    assert stored.series("loss").ranks is None
    assert stored.history().columns == ["step", "time", "loss"]


def test_each_run_of_a_process_is_one_with_those_of_the_other_ranks(
    ws_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "folds")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        for _fold in range(2):
            with rc.init("p", dir=ws_dir) as run:
                ids.append(run.id)
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]
    with rc.init("p", dir=ws_dir, id="mine") as run:
        assert (run.id, run.rank) == ("mine", 1)


def test_torchrun_without_an_id_joins_the_processes_that_it_started(ws_dir: str) -> None:
    outputs = launch(RANK, ws_dir, {"TORCHELASTIC_RUN_ID": "none"}, 2)
    assert outputs[0][0] == outputs[1][0]
    # Another torchrun is another parent.
    start = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"
    command = [sys.executable, "-c", start, "-c", RANK, ws_dir]
    environment = {**os.environ, "TORCHELASTIC_RUN_ID": "none", "RANK": "0"}
    other = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.split()[0] != outputs[0][0]


def test_a_rank_that_is_no_number_is_refused(ws_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(ValueError, match="RANK"):
        rc.init("p", dir=ws_dir)
    assert not Path(ws_dir).exists()


AUTO = """
import os, sys
import runcellar as rc
run = rc.init("p", dir=sys.argv[1], resume="auto", config={"start": int(sys.argv[2])})
print(run.id, run.step, run.resumed, flush=True)
run.log({"loss": 1.0})
if sys.argv[2] != "2":
    os._exit(9)
"""


def test_auto_goes_on_with_the_run_of_the_script_that_crashed(ws_dir: str, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(AUTO)

    def start(attempt: int, **options: Any) -> list[str]:
        command = [sys.executable, str(script), ws_dir, str(attempt)]
        return subprocess.run(command, capture_output=True, text=True, **options).stdout.split()

    first = start(0, cwd=tmp_path)
    assert first[1:] == ["0", "False"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert start(0, cwd=elsewhere)[0] != first[0]
    assert start(1, cwd=tmp_path) == [first[0], "1", "True"]
    assert start(2, cwd=tmp_path) == [first[0], "2", "True"]
    assert start(0, cwd=tmp_path)[0] != first[0]
    stored = rc.Workspace(ws_dir).run(first[0])
    assert stored.config == {"start": 2}
    assert stored.series("loss").steps.tolist() == [0, 1, 2]


def test_a_fork_begins_with_the_history_of_another_run(ws_dir: str) -> None:
    parent = rc.init("p", dir=ws_dir, config={"lr": 0.1, "net": {"layers": 3}}, name="calm-fox")
    for step in range(6000):
        parent.log(
            {"loss": 1 / (step + 1), "text": f"t{step}"} if step % 7 == 0 else {"loss": step}
        )
    # The parent is at work still: half of it stands in its journal only.
    child = rc.Workspace(ws_dir)  # a reader of the same workspace does not disturb
    assert child.run("calm-fox").state == "running"
    script = (
        "import sys, runcellar as rc\n"
        "point = 'calm-fox?_step=5000'\n"
        "with rc.init(dir=sys.argv[1], fork_from=point, config={'lr': 0.2}) as run:\n"
        "    layers, lr = run.config.net.layers, run.config['lr']\n"
        "    print(run.id, run.project, run.step, run.resumed, layers, lr)\n"
        "    run.log({'loss': -1.0})\n"
    )
    command = [sys.executable, "-c", script, ws_dir]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert out[1:] == ["p", "5001", "False", "3", "0.2"]
    ws = rc.Workspace(ws_dir)
    forked = ws.run(out[0])
    assert forked.forked_from == f"{parent.id}?_step=5000"
    assert forked.rewinds == []
    steps, values, _times = forked.series("loss")
    assert steps.tolist() == list(range(5002))
    assert values[-1] == -1.0
    assert forked.summary == {"loss": -1.0, "text": "t4998"}
    assert_reads_alike(ws_dir, out[0])
    parent.finish()
    assert len(ws.run(parent.id).series("loss")) == 6000
    assert_reads_alike(ws_dir, parent.id)
    assert ws.check().ok


def test_a_rewound_run_goes_on_from_a_step_and_keeps_what_it_hides(ws_dir: str) -> None:
    with rc.init("p", dir=ws_dir, id="run") as run:
        for step in range(5000):
            run.log({"loss": float(step)})
        with pytest.raises(TimeoutError, match="being recorded"):
            rewind_elsewhere(ws_dir)
    with rc.init(dir=ws_dir, resume_from="run?_step=99") as run:
        assert (run.id, run.project, run.step, run.resumed) == ("run", "p", 100, True)
        run.log({"loss": -1.0})
    stored = rc.Workspace(ws_dir).run("run")
    assert stored.series("loss").values.tolist() == [*map(float, range(100)), -1.0]
    assert stored.summary["loss"] == -1.0
    hidden = stored.series("loss", hidden=True)
    assert hidden.steps.tolist() == list(range(100, 5000))
    (told,) = stored.rewinds
    assert (told["step"], told["rows"]) == (99, 4900)
    assert_reads_alike(ws_dir, "run")
    with pytest.raises(ValueError, match="hidden"):
        stored.series("loss", 10, hidden=True)


def rewind_elsewhere(ws_dir: str) -> None:
    """Rewind a run from another process, whose error is raised here."""
    script = (
        "import sys, runcellar as rc\n"
        "try:\n"
        "    rc.init(dir=sys.argv[1], resume_from='run?_step=3')\n"
        "except rc.BusyError as error:\n"
        "    sys.exit(str(error))\n"
    )
    command = [sys.executable, "-c", script, ws_dir]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise rc.BusyError(done.stderr)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fork_from": "run?_step=x"}, ValueError, "not a number"),
        ({"fork_from": "run?step=1"}, ValueError, "_step=N"),
        ({"fork_from": "nowhere?_step=1"}, KeyError, "nowhere"),
        ({"resume_from": "nowhere?_step=1"}, KeyError, "nowhere"),
        ({"fork_from": "run", "resume_from": "run"}, ValueError, "one of them"),
        ({"fork_from": "run", "id": "run"}, rc.ExistsError, "there already"),
        ({"resume_from": "run?_step=1", "id": "other"}, ValueError, "two runs"),
        ({"resume_from": "run?_step=1", "resume": "never"}, ValueError, "never"),
        ({"fork_from": "run", "resume": "must"}, ValueError, "new run"),
        ({"id": "run?_step=1"}, ValueError, "not allowed"),
    ],
)
def test_bad_points_are_refused(
    ws_dir: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with rc.init("p", dir=ws_dir, id="run") as run:
        run.log({"loss": 1})
    with pytest.raises(error, match=message):
        rc.init("p", dir=ws_dir, **options)
    assert len(rc.Workspace(ws_dir).runs()) == 1


def test_the_workspace_as_of_a_time(ws_dir: str) -> None:
    with rc.init("p", dir=ws_dir, id="run", name="old") as run:
        for step in range(5000):
            run.log({"loss": step})
        ws = rc.Workspace(ws_dir)
        times = ws.run("run").series("loss").times
        run.name = "new"
    past = ws.as_of(int(times[2999]))
    seen = past.run("run")
    assert (seen.name, seen.state, seen.finished) == ("old", "running", None)
    assert seen.series("loss").steps.tolist() == list(range(3000))
    assert seen.summary == {"loss": 2999}
    assert past.runs(where="summary.loss < 3000")["name"] == ["old"]
    assert ws.run("run").summary == {"loss": 4999}
    assert len(ws.as_of("2001-01-01T12:00").runs()) == 0
    assert len(ws.as_of("2001-01-01").runs()) == 0
    with pytest.raises(KeyError):
        ws.as_of(0).run("run")
    with pytest.raises(rc.Error, match="as it was"):
        seen.name = "other"
    with pytest.raises(ValueError, match="yesterday"):
        ws.as_of("yesterday")
