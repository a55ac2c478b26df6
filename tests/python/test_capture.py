"""What is recorded of a run's surroundings: system metrics and the console."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import sysconfig
import termios
import textwrap
import time
import types
from collections.abc import Callable
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


# The console

BEGIN = """
import contextlib, os, subprocess, sys, threading, time
import runcellar as rc
run = rc.init("p", dir=os.environ["CELLAR"], id="seen", console=True)
"""


def _source(body: str) -> str:
    return BEGIN + textwrap.dedent(body)


def _plain(body: str) -> str:
    """Return the same program without a run, whose output is what is to be seen."""
    source = _source(body)
    source = source.replace(BEGIN.splitlines()[-1], "").replace("run.finish()", "pass")
    return source.replace("import runcellar as rc", "")


@pytest.fixture
def in_cellar(ws_dir: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a workspace, so that no line tells of its making, and name it to programs."""
    rc.init("p", dir=ws_dir).finish()
    monkeypatch.setenv("CELLAR", ws_dir)
    return ws_dir


def _run(source: str, shell_end: str = "", **options: object) -> subprocess.CompletedProcess[bytes]:
    command = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(source)} {shell_end}"
    return subprocess.run(
        ["/bin/sh", "-c", command], check=False, timeout=120, stdin=subprocess.DEVNULL,
        **({"capture_output": True} | options),  # type: ignore[call-overload]
    )  # fmt: skip


def _lines(ws_dir: str) -> rc.Console:
    return rc.Workspace(ws_dir).run("seen").console()


BODIES = {
    "prints": 'print("one"); print("two", end=""); print(" three"); print("four", file=sys.stderr)',
    "bytes": r'os.write(1, b"\xff\xfe\x00 raw\n"); os.write(2, b"\xe2\x82")',
    "programs": 'subprocess.run(["sh", "-c", "echo out; echo err >&2"])',
    "threads": """
        def work(n):
            for i in range(200):
                os.write(1, b"%d of thread %d\\n" % (i, n))
        threads = [threading.Thread(target=work, args=(n,)) for n in range(1)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """,
    "buffered": 'sys.stdout.write("held back to the end")',
    "exception": 'print("last"); raise SystemExit("the reason")',
    "traceback": 'print("last"); int("x")',
    "exit": 'print("last"); sys.exit(3)',
    "at once": 'print("last", flush=True); os._exit(4)',
    "aborted": 'os.write(2, b"terminate called\\n"); os.abort()',
    "killed": 'print("last", flush=True); os.kill(os.getpid(), 9)',
    "finished": 'print("in"); run.finish(); print("out")',
    "handler": """
        import logging
        logging.basicConfig(stream=sys.stderr)
        logging.warning("by a handler that holds the stream")
    """,
    "forked": """
        if os.fork() == 0:
            os.write(1, b"of a child\\n")
            os._exit(0)
        os.wait()
        print("of its parent")
    """,
    "much": 'for i in range(2000): print("x" * 1000, i)',
}


ENDS = ["", "> out.txt 2>&1", "2>&1", "> out.txt", "2>/dev/null", ">&-"]
# Every program with the ends that differ most; those whose ways differ, with all.
CASES = [(body, end) for body in BODIES for end in ENDS[:2]]
CASES += [(body, end) for body in ("bytes", "programs", "handler") for end in ENDS[2:]]


@pytest.mark.parametrize(("body", "end"), CASES)
def test_what_is_written_arrives_as_without_a_run(in_cellar: str, body: str, end: str) -> None:
    """Byte by byte, and with the same exit code, whatever becomes of the program."""
    out = Path("out.txt")
    plain, seen = _plain(BODIES[body]), _source(BODIES[body])
    expected = (_said(_run(plain, end)), _file(out))
    out.unlink(missing_ok=True)
    found = _said(_run(seen, end))
    # Of a program that was killed the last words may arrive a moment after its end.
    for _ in range(1000):
        if (found, _file(out)) == expected:
            break
        time.sleep(0.01)
    assert (found, _file(out)) == expected


def _without_numbers(text: bytes) -> bytes:
    """Leave out of a traceback in which line of the program it was."""
    return re.sub(rb"line \d+", b"line N", text)


def _said(done: subprocess.CompletedProcess[bytes]) -> tuple[int, bytes, bytes]:
    return done.returncode, _without_numbers(done.stdout), _without_numbers(done.stderr)


def _file(path: Path) -> bytes:
    return _without_numbers(path.read_bytes()) if path.exists() else b""


def test_lines_are_recorded_with_stream_and_time(in_cellar: str) -> None:
    done = _run(_source(BODIES["prints"]))
    assert done.returncode == 0, done.stderr
    lines = _lines(in_cellar)
    assert sorted(zip(lines, lines.streams)) == [
        ("four", "stderr"), ("one", "stdout"), ("two three", "stdout"),
    ]  # fmt: skip
    assert lines.times == sorted(lines.times)
    assert str(lines).count("\n") == 3
    stored = rc.Workspace(in_cellar).run("seen")
    assert stored.metrics() == []
    assert stored.summary == {}
    assert stored.dropped == 0
    shown = [str(COMMAND), "--workspace", in_cellar, "show", "seen", "--console"]
    assert subprocess.run(shown, check=True, capture_output=True, text=True).stdout == str(lines)


def test_of_one_file_for_both_streams_the_order_stays(in_cellar: str) -> None:
    body = "for i in range(50): print(i, flush=True); print(-i, file=sys.stderr, flush=True)"
    done = _run(_source(body), "2>&1")
    assert done.stdout.split() == [b"%d" % n for i in range(50) for n in (i, -i)]
    lines = _lines(in_cellar)
    assert [int(line) for line in lines] == [n for i in range(50) for n in (i, -i)]
    assert set(lines.streams) == {"both"}


def test_programs_and_libraries_are_recorded_too(in_cellar: str) -> None:
    body = r"""
    os.write(1, b"\xff raw\n")
    subprocess.run(["sh", "-c", "echo of a program"])
    if os.fork() == 0:
        os.write(1, b"of a child\n")
        os._exit(0)
    os.wait()
    print("\r10%\r20%\r\x1b[31m100%\x1b[0m")
    """
    assert _run(_source(body)).returncode == 0
    assert list(_lines(in_cellar)) == ["\ufffd raw", "of a program", "of a child", "100%"]


def test_every_run_of_a_process_gets_its_own_lines(in_cellar: str) -> None:
    body = """
    print("first")
    second = rc.init("p", dir=os.environ["CELLAR"], id="second", console=True)
    print("second")
    second.finish()
    print("between")
    with rc.init("p", dir=os.environ["CELLAR"], id="third", console=False):
        print("third")
    """
    done = _run(_source(body))
    assert done.stdout.split() == [b"first", b"second", b"between", b"third"]
    workspace = rc.Workspace(in_cellar)
    found = {name: list(workspace.run(name).console()) for name in ("seen", "second", "third")}
    assert found == {"seen": ["first"], "second": ["second"], "third": []}


def test_the_last_words_of_a_killed_program_arrive_and_are_recorded(in_cellar: str) -> None:
    body = """
    for i in range(100): print(i)
    sys.stdout.flush()
    wait = time.monotonic() + 60
    stored = rc.Workspace(os.environ["CELLAR"])
    while len(stored.run("seen").console()) < 100 and time.monotonic() < wait: time.sleep(0.01)
    os.kill(os.getpid(), 9)
    """
    done = _run(_source(body))
    assert done.returncode == -9
    assert done.stdout.split() == [b"%d" % i for i in range(100)]
    assert list(_lines(in_cellar)) == [str(i) for i in range(100)]
    assert rc.Workspace(in_cellar).run("seen").state == "crashed"


def test_a_program_that_is_left_behind_goes_on_writing(in_cellar: str) -> None:
    body = """
    read, write = os.pipe()
    os.set_inheritable(read, True)
    script = f"read x <&{read}; echo of the one left behind; exit 0"
    subprocess.Popen(["sh", "-c", script], close_fds=False)
    print("in")
    run.finish()
    os.write(write, b"go\\n")
    """
    done = _run(_source(body))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [b"in", b"of the one left behind"]


def test_a_child_that_outlives_the_program_goes_on_writing(in_cellar: str) -> None:
    body = """
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(write)
        os.read(read, 1)
        for i in range(100_000): os.write(1, b"of an orphan\\n")
        os._exit(0)
    """
    done = _run(_source(body))
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"of an orphan\n" * 100_000


def test_a_reader_that_has_gone_ends_the_program_as_ever(in_cellar: str) -> None:
    body = """
    for i in range(10_000_000):
        print(i, flush=True)
        if i > 100: time.sleep(0.01)
    """
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(_source(body))} | head -1"
    done = subprocess.run(["/bin/sh", "-c", command], check=True, capture_output=True, timeout=120)
    assert done.stdout == b"0\n"
    assert b"BrokenPipeError" in done.stderr
    assert _lines(in_cellar)[0] == "0"


def test_a_killed_forwarder_costs_nothing_that_is_seen(in_cellar: str) -> None:
    body = """
    def forwarders():
        ours = os.readlink("/proc/self/fd/1")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                name = open(f"/proc/{pid}/comm").read().strip()
                if name == "tee" and os.readlink(f"/proc/{pid}/fd/0") == ours: yield int(pid)
            except OSError:
                pass
    print("before", flush=True)
    # The shell that started it may be done before it has its name.
    while not (found := list(forwarders())): time.sleep(0.01)
    [tee] = found
    # What it was holding in that moment would be lost with it: both of its outputs have the line.
    def written():
        return int(open(f"/proc/{tee}/io").read().split("wchar: ")[1].split()[0])
    while written() < 2 * len("before\\n"): time.sleep(0.01)
    os.kill(tee, 9)
    with contextlib.suppress(OSError):
        while " Z " not in open(f"/proc/{tee}/stat").read(): time.sleep(0.01)
    for i in range(20000): print(i)
    """
    done = _run(_source(body))
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted([b"before"] + [b"%d" % i for i in range(20000)])


def test_a_flood_is_forwarded_whole_and_recorded_in_part(in_cellar: str) -> None:
    body = 'for i in range(200): os.write(1, b"a line of a flood\\n" * 10_000)'
    done = _run(_source(body))
    assert done.stdout == b"a line of a flood\n" * 2_000_000
    lines = _lines(in_cellar)
    assert 20_000 <= len(lines) < 1_000_000
    assert "note" in lines.streams
    left_out = [line for line, stream in zip(lines, lines.streams) if stream == "note"]
    count = sum(int(line.split()[0].strip("[")) for line in left_out)
    assert count + len(lines) - len(left_out) == 2_000_000


def test_a_program_that_closes_all_descriptors_loses_the_record_alone(in_cellar: str) -> None:
    body = """
    print("before", flush=True)
    os.closerange(3, 256)
    files = [open("/dev/null", "rb") for _ in range(50)]
    print("after", flush=True)
    run.finish()
    print("end")
    assert all(file.read() == b"" for file in files)
    """
    done = _run(_source(body))
    assert done.stdout.split() == [b"before", b"after", b"end"], done.stderr


def test_without_a_shell_the_run_goes_on_and_says_so(in_cellar: str) -> None:
    body = """
    print("printed")
    run.log({"x": 1})
    """
    source = _source(body).replace(
        "import runcellar as rc", "import runcellar as rc; os.environ['PATH'] = '/nowhere'"
    )
    done = _run(source)
    assert done.returncode == 0
    assert done.stdout == b"printed\n"
    assert b"the console is not recorded" in done.stderr
    assert list(_lines(in_cellar)) == []
    assert rc.Workspace(in_cellar).run("seen").summary == {"x": 1}


def _in_terminal(source: str, act: Callable[[int], None] = lambda master: None) -> bytes:
    """Run a program in a terminal of 33 lines and 77 columns; return what the terminal is sent."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    program = subprocess.Popen(
        [sys.executable, "-c", source], stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    act(master)
    sent = b""
    with contextlib.suppress(OSError):
        while piece := os.read(master, 65536):
            sent += piece
    os.close(master)
    assert program.wait(timeout=60) == 0, sent
    return sent


def test_a_terminal_stays_a_terminal(in_cellar: str) -> None:
    body = r"""
    print(os.isatty(1), os.isatty(2), os.get_terminal_size(1))
    subprocess.run(["sh", "-c", "test -t 1 && echo of a program"])
    sys.stdout.write("tab\tcolour \x1b[31mred\x1b[0m\r\n")
    sys.stderr.write("error\n")
    """
    seen, plain = _in_terminal(_source(body)), _in_terminal(_plain(body))
    assert seen == plain
    assert b"True True os.terminal_size(columns=77, lines=33)\r\n" in seen
    assert list(_lines(in_cellar))[1:] == ["of a program", "tab\tcolour red", "error"]


def test_a_terminal_that_changes_its_size_is_followed(in_cellar: str) -> None:
    body = """
    print("ready", flush=True)
    wait = time.monotonic() + 60
    while os.get_terminal_size(1).columns == 77 and time.monotonic() < wait: time.sleep(0.05)
    print(os.get_terminal_size(1))
    """

    def act(master: int) -> None:
        assert os.read(master, 5) == b"ready"
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 99, 0, 0))

    assert b"columns=99, lines=44" in _in_terminal(_source(body), act)


def test_descriptors_that_somebody_else_has_changed_stay_as_they_are(
    in_cellar: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with rc.init("p", dir=in_cellar, id="seen", console=True) as run:
        os.write(1, b"recorded\n")
        saved = os.dup(1)
        read, write = os.pipe()
        os.dup2(write, 1)
        os.write(1, b"elsewhere\n")
        run.finish()
        os.write(1, b"still elsewhere\n")
        assert os.read(read, 100) == b"elsewhere\nstill elsewhere\n"
        # What stood there before leads on, although the run has ended.
        os.dup2(saved, 1)
    assert list(_lines(in_cellar)) == ["recorded"]
    for descriptor in (saved, read, write):
        os.close(descriptor)
    out = capfd.readouterr().out
    assert out == "recorded\n"


class OutStream(io.TextIOBase):
    """A stream as a notebook has it: no descriptor, and what is written goes elsewhere."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError("a str is expected")
        self.written.append(text)
        return len(text)


def test_in_a_notebook_the_streams_are_recorded(
    in_cellar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = OutStream(), OutStream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    run = rc.init("p", dir=in_cellar, id="seen", console=True)
    print("one", 2)
    print("error", file=sys.stderr)
    print("lone surrogate \ud800")
    with pytest.raises(TypeError):
        out.write(b"bytes")  # type: ignore[arg-type]
    run.finish()
    print("after")
    assert "write" not in vars(out)
    assert "".join(out.written) == "one 2\nlone surrogate \ud800\nafter\n"
    lines = _lines(in_cellar)
    assert list(zip(lines, lines.streams))[:2] == [("one 2", "stdout"), ("error", "stderr")]


@pytest.mark.parametrize("how", ["argument", "variable", "setting", "on"])
def test_the_console_is_switched_off_by_argument_variable_and_setting(
    in_cellar: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.delenv("RUNCELLAR_CONSOLE")
    if how == "variable":
        monkeypatch.setenv("RUNCELLAR_CONSOLE", "off")
    if how == "setting":
        set_off = [str(COMMAND), "--workspace", in_cellar, "config", "set", "console", "off"]
        subprocess.run(set_off, check=True)
    source = _source('print("a line")')
    source = source.replace(
        "console=True", "console=False" if how == "argument" else "console=None"
    )
    assert _run(source).stdout == b"a line\n"
    assert list(_lines(in_cellar)) == (["a line"] if how == "on" else [])
