"""The work that every program gets, in a process of its own: `python use_NAME.py OPTIONS`.

OPTIONS is a JSON object: `task` (a function below), `directory`, `answer` (where the JSON answer
goes) and what the task takes. Each `use_NAME.py` imports its program and gives some of:

- ``start(directory, name)``: starts a run and returns what logs one row, a dict of floats
- ``finish()``: ends it
- ``import_readers()``: imports what reading needs, which is not timed
- ``values(directory, metric)``: the values of a metric of the only run, as the program reads them
- ``fill(directory, rows)``: logs rows in bulk, where that is much faster than one by one
- ``make_runs(directory, losses)``: short runs with one final loss each; yields after each
- ``select(directory, limit)``: how many of those runs have a loss below the limit
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SCALARS = 20
NAMES = [f"metric/{index:02}" for index in range(SCALARS)]
#: The cadence of the size mix (docs/BENCHMARKS.md).
CADENCE_S = 200e-6

Row = dict[str, float]
Percentiles = tuple[float, float]

OPTIONS: dict[str, Any] = {}
if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
    OPTIONS = json.loads(sys.argv[1])


def percentiles(call: Callable[[], object], count: int, rounds: int) -> Percentiles:
    """Return p50 and p99 of `count` calls in microseconds, less the cost of the clock.

    The best round counts, as neighbours on the machine only add.
    """
    clock = time.perf_counter_ns
    empty = sorted(-clock() + clock() for _ in range(10_000))[5_000]
    best = []
    for _ in range(rounds):
        spent = [0] * count
        for index in range(count):
            before = clock()
            call()
            spent[index] = clock() - before
        spent.sort()
        best.append(((spent[count // 2] - empty) / 1e3, (spent[count * 99 // 100] - empty) / 1e3))
    return min(best)


def naive(directory: Path, count: int, rounds: int) -> Percentiles:
    """Measure what a loop without a store would do: pack the values and append them to a file."""
    values = [index * 0.37 for index in range(SCALARS)]
    descriptor = os.open(directory / "naive", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    pack, write = struct.pack, os.write
    try:
        return percentiles(lambda: write(descriptor, pack("20d", *values)), count, rounds)
    finally:
        os.close(descriptor)
        (directory / "naive").unlink()


def fresh_row_caller(log: Callable[[Row], object]) -> Callable[[], object]:
    """Return a function that logs a row, the dict made anew at each call as training loops do."""
    body = ", ".join(f"{name!r}: v{index}" for index, name in enumerate(NAMES))
    values = "; ".join(f"v{index} = {index * 0.37}" for index in range(SCALARS))
    scope: dict[str, Any] = {}
    source = f"def make(log):\n    {values}\n    return lambda: log({{{body}}})\n"
    exec(source, {}, scope)
    call: Callable[[], object] = scope["make"](log)
    return call


def rows(series: str, count: int) -> Iterator[Row]:
    """Yield rows of the series in a file, each tiled."""
    with open(series, "rb") as file:
        columns = pickle.load(file)
    for values in itertools.islice(zip(*map(itertools.cycle, columns), strict=True), count):
        yield dict(zip(NAMES, values, strict=True))


def log(peer: Any, directory: Path, count: int) -> dict[str, Any]:
    """Cost of one call, beside packing and writing the same values in this process."""
    before = naive(directory, 20_000, 3)
    call = fresh_row_caller(peer.start(directory, "log"))
    for _ in range(count // 10):
        call()
    rounds = 3 if count >= 1_000 else 1
    p50, p99 = percentiles(call, count // rounds, rounds)
    peer.finish()
    after = naive(directory, 20_000, 3)
    return {"p50": p50, "p99": p99, "reference": min(before, after)[0]}


def die(peer: Any, directory: Path, series: str, count: int, everyone: bool) -> None:
    """Log rows and be killed at once; `everyone` means with all that this process started."""
    write = peer.start(directory, "killed")
    for row in rows(series, count):
        write(row)
    if everyone:
        for pid in below(os.getpid()):
            os.kill(pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def peak_of(pid: int) -> int:
    """Return the most memory that a process had so far, in bytes; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return next((int(line.split()[1]) * 1024 for line in lines), 0)


def below(pid: int) -> list[int]:
    """Return the processes that a process started, and those they started, the nearest first."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        found = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return found + [lower for child in found for lower in below(child)]


def fill(
    peer: Any, directory: Path, series: str, count: int, patience: float, bulk: bool = False
) -> dict[str, Any]:
    """Log rows as fast as it goes and finish; stop when `patience` seconds are over."""
    begin = time.perf_counter()
    if bulk:
        peer.fill(directory, rows(series, count))
        return {"rows": count, "seconds": time.perf_counter() - begin}
    write = peer.start(directory, "fill")
    done, end = 0, begin + patience
    for done, row in enumerate(rows(series, count), 1):
        write(row)
        if not done % 64 and time.perf_counter() > end:
            break
    logged = time.perf_counter()
    peer.finish()
    over = time.perf_counter()
    return {"rows": done, "seconds": over - begin, "finish": over - logged}


def store(
    peer: Any, directory: Path, series: str, count: int, runs: int, patience: float
) -> dict[str, Any]:
    """Log runs at the cadence of the size mix; stop when `patience` seconds are over."""
    points, end = 0, time.perf_counter() + patience
    for number in range(runs):
        write = peer.start(directory, f"run-{number}")
        due = time.perf_counter()
        for row in rows(series, count):
            write(row)
            points += len(row)
            due += CADENCE_S
            while (left := due - time.perf_counter()) > 0:
                time.sleep(left)
            if time.perf_counter() > end:
                break
        peer.finish()
        if time.perf_counter() > end:
            break
    return {"points": points}


def start(peer: Any, directory: Path, series: str, count: int) -> dict[str, Any]:
    """Time from `start` to the first logged row, and of `finish` after `count` rows."""
    given = list(rows(series, count))
    begin = time.perf_counter()
    write = peer.start(directory, "start")
    write(given[0])
    first = time.perf_counter()
    for row in given[1:]:
        write(row)
    logged = time.perf_counter()
    peer.finish()
    return {"first_log": first - begin, "finish": time.perf_counter() - logged}


def read(peer: Any, directory: Path, metric: str) -> dict[str, Any]:
    """Read one metric of the only run, cold: nothing of it was read in this process."""
    getattr(peer, "import_readers", tuple)()
    begin = time.perf_counter()
    values = peer.values(directory, metric)
    seconds = time.perf_counter() - begin
    return {"points": len(values), "last": float(values[-1]) if len(values) else None} | {
        "seconds": seconds
    }


def make_runs(peer: Any, directory: Path, count: int, patience: float) -> dict[str, Any]:
    """Make short runs with one final loss each; stop when `patience` seconds are over."""
    end = time.perf_counter() + patience
    made = 0
    for _ in peer.make_runs(directory, (n / count for n in range(count))):
        made += 1
        if time.perf_counter() > end:
            break
    return {"runs": made}


def select(peer: Any, directory: Path, limit: float) -> dict[str, Any]:
    """List the runs whose loss is below a limit, cold."""
    begin = time.perf_counter()
    found = peer.select(directory, limit)
    return {"found": found, "seconds": time.perf_counter() - begin}


def main(peer: Any) -> None:
    """Do the task of OPTIONS with the functions of a module and leave the answer in a file."""
    options = dict(OPTIONS)
    task, answer = options.pop("task"), options.pop("answer")
    directory = Path(options.pop("directory"))
    outcome = globals()[task](peer, directory, **options)
    Path(answer).write_text(json.dumps(outcome | {"peak": peak_of(os.getpid())}))
