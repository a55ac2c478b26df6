"""runcellar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import runcellar as rc
import work


def start(directory: Path, name: str) -> Callable[[work.Row], object]:
    return rc.init("bench", name=name, dir=directory).log


def finish() -> None:
    rc.finish()


def import_readers() -> None:
    import numpy  # noqa: F401


def values(directory: Path, metric: str) -> Any:
    workspace = rc.Workspace(directory)
    return workspace.run(workspace.runs()[0]["id"]).series(metric).values


def make_runs(directory: Path, losses: Iterator[float]) -> Iterator[None]:
    for loss in losses:
        with rc.init("bench", dir=directory, config={"lr": loss}) as run:
            run.log({"loss": loss})
        yield


def select(directory: Path, limit: float) -> int:
    runs = rc.Workspace(directory).runs(where=f"summary.loss < {limit}")
    return len([run["id"] for run in runs])


if __name__ == "__main__":
    work.main(sys.modules[__name__])
