"""Measure the package beside references of the same run, and print a table.

Run ``python tests/python/bench_log.py [--dir DIR]``; DIR decides which disk is measured. Figures
count on an idle machine only, and ratios more than microseconds.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROWS = 100_000
#: Rounds of each measurement; the best one counts, as neighbours on the machine only add.
ROUNDS = 3
STARTS = 15
SCALARS = 20

Percentiles = tuple[float, float]


def percentiles(call: Callable[[], object], count: int = ROWS) -> Percentiles:
    """Return p50 and p99 of `count` calls in microseconds, less the cost of the clock."""
    clock = time.perf_counter_ns
    empty = sorted(-clock() + clock() for _ in range(10_000))[5_000]
    rounds = []
    for _ in range(ROUNDS):
        spent = [0] * count
        for index in range(count):
            before = clock()
            call()
            spent[index] = clock() - before
        spent.sort()
        rounds.append(((spent[count // 2] - empty) / 1e3, (spent[count * 99 // 100] - empty) / 1e3))
    return min(rounds)


def naive(directory: Path) -> Percentiles:
    """Measure what a loop without a store would do: pack the values and append them to a file."""
    values = [index * 0.37 for index in range(SCALARS)]
    descriptor = os.open(directory / "naive", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    pack, write = struct.pack, os.write
    try:
        return percentiles(lambda: write(descriptor, pack("20d", *values)))
    finally:
        os.close(descriptor)


def log(directory: Path) -> tuple[Percentiles, Percentiles]:
    """Measure `run.log` of a dict made anew each time, and of one that is there."""
    import runcellar as rc

    names = [f"metric/{index}" for index in range(SCALARS)]
    body = ", ".join(f"{name!r}: v{index}" for index, name in enumerate(names))
    values = "; ".join(f"v{index} = {index * 0.37}" for index in range(SCALARS))
    scope: dict[str, Callable[[], object]] = {}
    with rc.init("bench", dir=directory / "cellar") as run:
        source = f"def make(run):\n    {values}\n    log = run.log\n"
        source += f"    return lambda: log({{{body}}})\n"
        exec(source, {}, scope)
        call = scope["make"](run)  # type: ignore[call-arg]
        row = dict.fromkeys(names, 0.37)
        assert callable(call)
        return percentiles(call), percentiles(lambda: run.log(row))


def full_commit(directory: Path) -> float:
    """Return the median of one FULL commit of SQLite on this disk, in milliseconds."""
    db = sqlite3.connect(directory / "full.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE t (x)")
    spent = []
    for index in range(60):
        before = time.perf_counter()
        db.execute("INSERT INTO t VALUES (?)", (index,))
        spent.append((time.perf_counter() - before) * 1e3)
    db.close()
    return statistics.median(spent)


def first_log(directory: Path) -> float:
    """Return the median from `init` to the first returned `log` in a workspace, in milliseconds."""
    source = (
        "import sys, time\n"
        "import runcellar as rc\n"
        "before = time.perf_counter()\n"
        "run = rc.init('bench', dir=sys.argv[1])\n"
        "run.log({'loss': 1.0})\n"
        "print((time.perf_counter() - before) * 1e3)\n"
    )
    command = [sys.executable, "-c", source, str(directory / "cellar")]
    spent = [
        float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(STARTS)
    ]
    return statistics.median(spent)


def interpreter(source: str) -> float:
    """Return the shortest run of an interpreter with `source`, in milliseconds."""
    spent = []
    for _ in range(STARTS):
        before = time.perf_counter()
        subprocess.run([sys.executable, "-c", source], check=True)
        spent.append((time.perf_counter() - before) * 1e3)
    return min(spent)


def main() -> None:
    """Measure everything and print a Markdown table."""
    parser = argparse.ArgumentParser(description="Measure the Python package.")
    parser.add_argument("--dir", help="where the files go (default: the temporary directory)")
    with tempfile.TemporaryDirectory(dir=parser.parse_args().dir) as name:
        directory = Path(name)
        os.environ["RUNCELLAR_CONFIG_DIR"] = str(directory / "config")
        reference = naive(directory)
        fresh, ready = log(directory)
        commit, start = full_commit(directory), first_log(directory)
        bare, imported = interpreter("pass"), interpreter("import runcellar")
    rows = [
        ("struct.pack + os.write of 20 doubles", f"p50 {reference[0]:.2f} us", "reference", ""),
        (
            "run.log({20 scalars}), p50",
            f"{fresh[0]:.2f} us",
            f"{fresh[0] / reference[0]:.2f}x the reference",
            "4x",
        ),
        (
            "run.log({20 scalars}), p99",
            f"{fresh[1]:.2f} us",
            f"{fresh[1] / fresh[0]:.1f}x its p50",
            "20x",
        ),
        (
            "run.log(row) of a dict that is there, p50",
            f"{ready[0]:.2f} us",
            f"{ready[0] / reference[0]:.2f}x the reference",
            "",
        ),
        ("one FULL commit", f"{commit:.2f} ms", "reference", ""),
        (
            "init() to first log() returned",
            f"{start:.2f} ms",
            f"limit now {3 * commit + 15:.1f} ms",
            "3 commits + 15 ms",
        ),
        ("bare interpreter", f"{bare:.1f} ms", "reference", ""),
        (
            "import runcellar",
            f"{imported:.1f} ms",
            f"{imported - bare:.1f} ms over the bare interpreter",
            "60 ms",
        ),
    ]
    print("| measured | figure | ratio in this run | allowed |")
    print("|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
