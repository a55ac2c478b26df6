"""Aim: RocksDB inside the process."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aim
import work
from aim.sdk.types import QueryReportMode
from aim.storage.context import Context

QUIET = {
    "capture_terminal_logs": False,
    "log_system_params": False,
    "system_tracking_interval": None,
}
active: list[aim.Run] = []


def start(directory: Path, name: str) -> Callable[[work.Row], object]:
    run = aim.Run(repo=str(directory), **QUIET)
    run.name = name
    active.append(run)
    track, steps = run.track, itertools.count()
    return lambda row: track(row, step=next(steps))


def finish() -> None:
    active.pop().close()


def values(directory: Path, metric: str) -> Any:
    (run,) = aim.Repo(str(directory)).iter_runs()
    found = run.get_metric(metric, Context({}))
    return [] if found is None else found.values.sparse_numpy()[1]


def make_runs(directory: Path, losses: Iterator[float]) -> Iterator[None]:
    for loss in losses:
        run = aim.Run(repo=str(directory), **QUIET)
        run["lr"] = run["loss"] = loss
        run.track(loss, name="loss", step=0)
        run.close()
        yield


def select(directory: Path, limit: float) -> int:
    repo = aim.Repo(str(directory))
    found = repo.query_runs(f"run.loss < {limit}", report_mode=QueryReportMode.DISABLED)
    return len([item.run.hash for item in found.iter_runs()])


if __name__ == "__main__":
    work.main(sys.modules[__name__])
