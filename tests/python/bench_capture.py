"""Measure what it costs to record system metrics and the console, and print a table.

Run ``python tests/python/bench_capture.py [--dir DIR] [--seconds N]``. Processor time is that of
the program and of the process that forwards its output; the reference is the same program with the
capture switched off, or a plain ``cat`` in its place. Figures count on an idle machine only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: Lines a second of an ordinary program.
LINES_PER_SECOND = 100
#: What is written at once when the rate of forwarding is measured, in MiB.
FLOOD_MIB = 256

IDLE = """
import sys, time
import runcellar as rc
directory, capture, seconds = sys.argv[1], sys.argv[2] == "on", float(sys.argv[3])
run = rc.init("bench", dir=directory, system=capture, console=False)
time.sleep(0.3)
before = time.process_time()
time.sleep(seconds)
print((time.process_time() - before) / seconds * 100)
"""

CONSOLE = """
import os, sys, time
import runcellar as rc
directory, capture = sys.argv[1], sys.argv[2] == "on"
seconds, rate = float(sys.argv[3]), int(sys.argv[4])
run = rc.init("bench", dir=directory, system=False, console=capture)

def forwarder():
    ours = os.readlink("/proc/self/fd/1")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            name, source = open(f"/proc/{pid}/comm").read(), os.readlink(f"/proc/{pid}/fd/0")
        except OSError:
            continue
        if name.strip() == "tee" and source == ours:
            return pid

def spent(pid):
    nanoseconds = int(open(f"/proc/{pid}/schedstat").read().split()[0]) if pid else 0
    return time.process_time() + nanoseconds / 1e9

tee = None
# The shell that started it may be done before it has its name.
while capture and tee is None:
    tee = forwarder()
before, begin = spent(tee), time.monotonic()
for line in range(int(seconds * rate)):
    print(f"step {line}: loss 0.{line:06} accuracy 0.{line:06}", flush=True)
    time.sleep(max(0, begin + (line + 1) / rate - time.monotonic()))
after = spent(tee)
run.finish()
print((after - before) / seconds * 100, file=sys.stderr)
"""

FLOOD = """
import os, sys, time
import runcellar as rc
directory, capture, count = sys.argv[1], sys.argv[2] == "on", int(sys.argv[3])
run = rc.init("bench", dir=directory, system=False, console=capture)
piece = (b"a line of an ordinary length, as programs write them" + b"\\n") * 20_000
piece = piece[:1 << 20]
begin = time.monotonic()
for _ in range(count):
    rest = piece
    while rest:
        rest = rest[os.write(1, rest):]
run.finish()
print(time.monotonic() - begin, file=sys.stderr)
"""


def measure(source: str, *args: object, pipe: str = "> /dev/null") -> float:
    """Run a program and return the number that it prints to the stream that is not piped."""
    path = Path(str(args[0])).parent / "program.py"
    path.write_text(source, encoding="utf-8")
    words = " ".join(map(str, args))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} {path} {words} {pipe}"],
        check=True, capture_output=True, text=True, cwd=path.parent,
    )  # fmt: skip
    return float((done.stderr if pipe else done.stdout).split()[-1])


def main() -> None:
    """Measure all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--seconds", type=float, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        os.environ.update(HOME=name, RUNCELLAR_CONFIG_DIR=str(Path(name) / "config"))
        cellar, seconds = Path(name) / "cellar", options.seconds
        measure(FLOOD, cellar, "off", 1)
        idle = [measure(IDLE, cellar, capture, seconds, pipe="") for capture in ("off", "on")]
        lines = [
            measure(CONSOLE, cellar, capture, seconds, LINES_PER_SECOND, pipe="| cat > /dev/null")
            for capture in ("off", "on")
        ]
        flood = [
            measure(FLOOD, cellar, capture, FLOOD_MIB, pipe=pipe)
            for capture, pipe in (
                ("off", "| cat > /dev/null"),
                ("off", "| cat | cat > /dev/null"),
                ("on", "| cat > /dev/null"),
            )
        ]
    print(f"% of a core, of system metrics in {seconds:.0f} s  {idle[1] - idle[0]:.3f}")
    print(f"  of the same program without           {idle[0]:.3f}")
    print(f"% of a core, of {LINES_PER_SECOND} lines a second       {lines[1] - lines[0]:.3f}")
    print(f"  of the same program without           {lines[0]:.3f}")
    for title, took in zip(("one cat", "two cats", "captured, one cat"), flood):
        rate = FLOOD_MIB / took
        print(f"{title:24} {rate:8.0f} MiB/s   {flood[1] / took:.2f} x two cats")


if __name__ == "__main__":
    main()
