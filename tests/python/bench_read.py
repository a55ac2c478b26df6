"""Measure reading beside ``numpy.load`` of the same arrays in the same run, and print a table.

Run ``python tests/python/bench_read.py [--dir DIR] [--points N] [--chart N]``. Every cold figure is
of a new process, with numpy imported before the clock starts; figures count on an idle machine
only, and ratios more than milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 9

#: What a new process runs: prints milliseconds of the first read and the best of those that follow.
LOAD = """
import sys, time, numpy
def read():
    return [numpy.load(f"{sys.argv[1]}/{name}.npy") for name in ("steps", "values", "times")]
"""

#: The same arrays out of a workspace, from opening it on.
STORE = """
import sys, time, numpy, runcellar as rc
workspace = None
def read():
    global workspace
    workspace = workspace or rc.Workspace(sys.argv[1])
    steps, values, times = workspace.run("bench").series("value", {points})
    return steps, values, times
"""

CLOCK = """
spent = []
for _ in range({rounds}):
    before = time.perf_counter()
    arrays = read()
    spent.append((time.perf_counter() - before) * 1e3)
assert {least} <= len(arrays[0]) <= {most}, len(arrays[0])
print(spent[0], min(spent[1:]))
"""


def measure(
    source: str, directory: Path, count: int, points: int | None = None
) -> tuple[float, float]:
    """Return milliseconds of the first read in a new process and of a warm one, medians."""
    least, most = (count, count) if points is None else (points // 3, points)
    clock = CLOCK.format(rounds=ROUNDS, least=least, most=most)
    program = source.replace("{points}", repr(points)) + clock
    rounds = []
    for _ in range(ROUNDS):
        done = subprocess.run(
            [sys.executable, "-c", program, str(directory)],
            check=True,
            capture_output=True,
            text=True,
        )
        rounds.append([float(number) for number in done.stdout.split()])
    first, warm = zip(*rounds, strict=True)
    return statistics.median(first), statistics.median(warm)


def make(directory: Path, count: int) -> tuple[Path, Path]:
    """Log a series of `count` points and save the same arrays with numpy; return both places."""
    import numpy as np
    import runcellar as rc

    stored, saved = directory / f"runs-{count}", directory / f"arrays-{count}"
    saved.mkdir()
    values = np.random.default_rng(1).normal(size=count).astype(np.float32).cumsum(dtype=np.float64)
    values = values.astype(np.float32).astype(np.float64)
    run = rc.init("bench", id="bench", dir=stored)
    for value in values.tolist():
        run.log({"value": value})
    run.finish()
    series = rc.Workspace(stored).run("bench").series("value")
    assert (series.values == values).all()
    for name in ("steps", "values", "times"):
        np.save(saved / f"{name}.npy", getattr(series, name))
    return stored, saved


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", default=None, help="where to measure")
    parser.add_argument("--points", type=int, default=1_000_000, help="points that are read whole")
    parser.add_argument("--chart", type=int, default=10_000_000, help="points that are charted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        directory = Path(name)
        os.environ["RUNCELLAR_CONFIG_DIR"] = str(directory / "config")
        os.environ.pop("RUNCELLAR_DIR", None)
        stored, saved = make(directory, options.points)
        load = measure(LOAD, saved, options.points)
        read = measure(STORE, stored, options.points)
        print(f"{options.points:,} points: steps, values, times    first        warm")
        print(f"  numpy.load of three arrays        {load[0]:8.1f} ms {load[1]:8.1f} ms")
        print(f"  Workspace() and series()          {read[0]:8.1f} ms {read[1]:8.1f} ms")
        ratios = (read[0] / load[0], read[1] / load[1])
        print(f"  ratio                             {ratios[0]:8.2f}    {ratios[1]:8.2f}")
        print("  limit                                 6.00        3.00")
        if options.chart:
            before = time.perf_counter()
            stored, _ = make(directory, options.chart)
            print(f"{options.chart:,} points logged in {time.perf_counter() - before:.1f} s")
            chart = measure(STORE, stored, options.chart, points=3_000)
            print(f"  chart of 1,000 buckets            {chart[0]:8.1f} ms {chart[1]:8.1f} ms")
            print("  limit                                60.0         5.0")


if __name__ == "__main__":
    main()
