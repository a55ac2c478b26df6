"""Measure the package beside references of the same run, and print a table.

Run ``python tests/python/bench_log.py [--dir DIR]``; DIR decides which disk is measured. Figures
count on an idle machine only, and ratios more than microseconds.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peers.work import NAMES, Percentiles, fresh_row_caller, naive, percentiles

ROWS = 100_000
#: Rounds of each measurement; the best one counts, as neighbours on the machine only add.
ROUNDS = 3
STARTS = 15


def log(directory: Path) -> tuple[Percentiles, Percentiles, Percentiles]:
    """Measure `run.log` of a dict made anew each time, a ready one, and one of numpy.float32."""
    import numpy as np
    import runcellar as rc

    with rc.init("bench", dir=directory / "cellar") as run:
        row, scalars = dict.fromkeys(NAMES, 0.37), dict.fromkeys(NAMES, np.float32(0.37))
        return (
            percentiles(fresh_row_caller(run.log), ROWS, ROUNDS),
            percentiles(lambda: run.log(row), ROWS, ROUNDS),
            percentiles(lambda: run.log(scalars), ROWS, ROUNDS),
        )


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
        reference = naive(directory, ROWS, ROUNDS)
        fresh, ready, scalars = log(directory)
        commit, start = full_commit(directory), first_log(directory)
        bare, imported = interpreter("pass"), interpreter("import runcellar")
    rows = [
        ("struct.pack + os.write of 20 doubles", f"p50 {reference[0]:.2f} us", "reference", ""),
        (
            "run.log({20 scalars}), p50",
            f"{fresh[0]:.2f} us",
            f"{fresh[0] / reference[0]:.2f}x the reference",
            "3x",
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
        (
            "the same of 20 numpy.float32, p50",
            f"{scalars[0]:.2f} us",
            f"{scalars[0] / reference[0]:.2f}x the reference",
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
