"""trackio: SQLite, written twice a second by a thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import work

os.environ["TRACKIO_DIR"] = str(work.OPTIONS.get("directory"))
import trackio
from trackio.sqlite_storage import SQLiteStorage


def start(directory: Path, name: str) -> Callable[[work.Row], object]:
    trackio.init(project="bench", name=name, embed=False)
    return trackio.log


def finish() -> None:
    trackio.finish()


def values(directory: Path, metric: str) -> list[float]:
    (run,) = trackio.Api().runs("bench")
    logs = SQLiteStorage.get_logs("bench", run.name, run_id=run.id)
    return [row[metric] for row in logs if metric in row]


def make_runs(directory: Path, losses: Iterator[float]) -> Iterator[None]:
    for number, loss in enumerate(losses):
        trackio.init(project="bench", name=f"run-{number}", config={"lr": loss}, embed=False)
        trackio.log({"loss": loss})
        trackio.finish()
        yield


def select(directory: Path, limit: float) -> int:
    # It has no filter: the configs are fetched and looked at.
    runs = trackio.Api().runs("bench")
    return len([run.id for run in runs if (run.config or {})["lr"] < limit])


if __name__ == "__main__":
    work.main(sys.modules[__name__])
