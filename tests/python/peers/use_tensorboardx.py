"""tensorboardX; event files are read by TensorBoard's EventAccumulator. Values are float32."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import work
from tensorboardX import SummaryWriter

active: list[SummaryWriter] = []


def start(directory: Path, name: str) -> Callable[[work.Row], object]:
    writer = SummaryWriter(str(directory / name))
    active.append(writer)
    add, steps = writer.add_scalar, itertools.count()

    def log(row: work.Row) -> None:
        step = next(steps)
        for metric, value in row.items():
            add(metric, value, step)

    return log


def finish() -> None:
    active.pop().close()


def import_readers() -> None:
    from tensorboard.backend.event_processing import event_accumulator  # noqa: F401


def values(directory: Path, metric: str) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (path,) = directory.glob("*/events.*")
    events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
    return [event.value for event in events.Scalars(metric)]


if __name__ == "__main__":
    work.main(sys.modules[__name__])
