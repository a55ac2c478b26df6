"""Fork and spawn: every child is a writer of its own, and none ends its parent's run."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest
import runcellar as rc

if sys.version_info >= (3, 12):
    pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def log_in_child(run: rc.Run, worker: int, count: int) -> None:
    for step in range(count):
        run.log({f"worker-{worker}": step}, step=step)


def test_forked_children_log_into_the_run_of_their_parent(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    run.log({"parent": 0})
    children = []
    for worker in range(4):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                log_in_child(run, worker, 200)
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    for step in range(200):
        run.log({"parent": step + 1})
    for pid in children:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    run.finish()
    stored = rc.Workspace(ws_dir).run(run.id)
    assert stored.state == "finished"
    assert stored.series("parent").values.tolist() == list(range(201))
    for worker in range(4):
        assert stored.series(f"worker-{worker}").values.tolist() == list(range(200))


def test_a_child_that_finishes_ends_its_own_writing_only(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with run:
                run.log({"child": 1})
            run.finish()
            rc.finish()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert rc.Workspace(ws_dir).run(run.id).state == "running"
    run.log({"parent": 1})
    run.finish()
    stored = rc.Workspace(ws_dir).run(run.id)
    assert stored.state == "finished"
    assert stored.summary == {"child": 1, "parent": 1}


def test_a_child_may_start_a_run_of_its_own(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir, id="parent")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with rc.init(dir=ws_dir, id="child") as own:
                own.log({"x": 1})
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    run.log({"x": 2})
    workspace = rc.Workspace(ws_dir)
    assert workspace.run("child").state == "finished"
    assert workspace.run("parent").state == "running"
    assert workspace.run("parent").summary == {"x": 2}


def test_a_child_reads_what_its_parent_logged(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    workspace = rc.Workspace(ws_dir)
    run.log({"x": 7})
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert workspace.run(run.id).summary == run.summary == {"x": 7}
            assert rc.Workspace(ws_dir).run(run.id).series("x").values.tolist() == [7]
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    run.log({"x": 8})
    assert workspace.run(run.id).summary == {"x": 8}


def test_forks_while_threads_log(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    stop = threading.Event()
    counts = [0] * 3

    def work(worker: int) -> None:
        while not stop.is_set():
            run.log({f"thread-{worker}": counts[worker]})
            counts[worker] += 1

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    for child in range(20):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                run.log({f"child-{child}": 1})
                run.flush()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    stop.set()
    for thread in threads:
        thread.join()
    run.finish()
    stored = rc.Workspace(ws_dir).run(run.id)
    for worker in range(3):
        assert sorted(stored.series(f"thread-{worker}").values.tolist()) == list(
            range(counts[worker])
        )
    for child in range(20):
        assert stored.summary[f"child-{child}"] == 1


def test_warnings_of_the_parent_are_not_said_by_a_child(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", rc.RuncellarWarning)
        run.log({"bad": object()})
        pid = os.fork()
        if pid == 0:
            before = len(caught)
            run.log({"x": 1})
            os._exit(len(caught) - before)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [one.category for one in caught if one.category is rc.RuncellarWarning] == [
        rc.RuncellarWarning
    ]


MULTIPROCESSING = """
import multiprocessing, os, sys
import runcellar as rc

def forked(worker):
    for step in range(100):
        rc.log({f"worker-{worker}": step}, step=step)

def own_run(worker):
    run = rc.init(dir=os.environ["W"], id=f"own-{worker}")
    run.log({"x": worker})
    if worker == 1:
        raise RuntimeError("fails")
    if worker == 2:
        sys.exit(3)

def resumed(worker):
    # Each process joins the run by its id, and takes itself out of it.
    with rc.init(dir=os.environ["W"], id="shared", resume="must") as run:
        run.log({f"worker-{worker}": worker})

def start(context, target, count):
    processes = [context.Process(target=target, args=(index,)) for index in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    if sys.argv[2] == "forked":
        run = rc.init(dir=os.environ["W"], id="shared")
        assert start(context, forked, 4) == [0] * 4
        run.log({"parent": 1})
    elif sys.argv[2] == "own":
        assert start(context, own_run, 4) == [0, 1, 3, 0]
    else:
        rc.init(dir=os.environ["W"], id="shared").finish()
        assert start(context, resumed, 4) == [0] * 4
"""


def run_multiprocessing(tmp: str, method: str, what: str, ws_dir: str) -> str:
    path = os.path.join(tmp, "multi.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(textwrap.dedent(MULTIPROCESSING))
    done = subprocess.run(
        [sys.executable, path, method, what],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "W": ws_dir},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_multiprocessing_children_log_into_the_run(ws_dir: str, tmp_path: os.PathLike[str]) -> None:
    run_multiprocessing(str(tmp_path), "fork", "forked", ws_dir)
    workspace = rc.Workspace(ws_dir)
    stored = workspace.run("shared")
    assert (stored.state, stored.exit_code) == ("finished", 0)
    for worker in range(4):
        assert stored.series(f"worker-{worker}").values.tolist() == list(range(100))
    # Every child closed its journal: nothing is left for the next opener.
    assert os.listdir(os.path.join(ws_dir, "journals")) == []
    assert workspace.check(read_data=True).problems == []


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing_children_with_runs_of_their_own(
    ws_dir: str, tmp_path: os.PathLike[str], method: str
) -> None:
    run_multiprocessing(str(tmp_path), method, "own", ws_dir)
    workspace = rc.Workspace(ws_dir)
    ends = [
        (workspace.run(f"own-{n}").state, workspace.run(f"own-{n}").exit_code) for n in range(4)
    ]
    assert [state for state, _ in ends] == ["finished", "failed", "failed", "finished"]
    assert [code for _, code in ends][1:3] == [1, 3]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_several_processes_join_one_run_by_its_id(
    ws_dir: str, tmp_path: os.PathLike[str], method: str
) -> None:
    run_multiprocessing(str(tmp_path), method, "resumed", ws_dir)
    stored = rc.Workspace(ws_dir).run("shared")
    assert stored.summary == {f"worker-{worker}": worker for worker in range(4)}
    assert stored.state == "finished"


def test_threads_log_into_one_run(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)

    def work(worker: int) -> None:
        for step in range(2000):
            run.log({"x": worker, f"thread-{worker}": step})

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.finish()
    stored = rc.Workspace(ws_dir).run(run.id)
    assert len(stored.series("x")) == 16_000
    for worker in range(8):
        assert stored.series(f"thread-{worker}").values.tolist() == list(range(2000))


def test_a_tensor_that_gives_up_the_interpreter_does_not_deadlock(ws_dir: str) -> None:
    import time

    class Slow:
        def item(self) -> float:
            time.sleep(0.001)
            return 1.0

    run = rc.init(dir=ws_dir)

    def work() -> None:
        for _ in range(50):
            run.log({"slow": Slow(), "x": 1.0})
            run.log({"x": 2.0})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
