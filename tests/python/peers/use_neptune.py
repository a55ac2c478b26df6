"""neptune-scale, offline: one SQLite transaction a call, of protobuf messages.

It has no reader of such files, so the messages are decoded here by the package's own classes.
"""

from __future__ import annotations

import itertools
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import work
from neptune_api.proto.neptune_pb.ingest.v1.common_pb2 import UpdateRunSnapshot
from neptune_scale import Run
from neptune_scale.sync.operations_repository import OperationType

active: list[Run] = []


def start(directory: Path, name: str) -> Callable[[work.Row], object]:
    run = Run(
        mode="offline",
        project="bench/bench",
        experiment_name=name,
        log_directory=directory,
        enable_console_log_capture=False,
        source_tracking_config=None,
    )
    active.append(run)
    steps = itertools.count()
    return lambda row: run.log_metrics(row, step=next(steps))


def finish() -> None:
    active.pop().close()


def values(directory: Path, metric: str) -> list[float]:
    (path,) = directory.glob("**/*.sqlite3")
    connection = sqlite3.connect(path)
    query = "SELECT operation FROM run_operations WHERE operation_type = ? ORDER BY sequence_id"
    found = []
    for (blob,) in connection.execute(query, (int(OperationType.UPDATE_SNAPSHOT),)):
        appended = UpdateRunSnapshot.FromString(blob).append
        if metric in appended:
            found.append(appended[metric].float64)
    return found


if __name__ == "__main__":
    work.main(sys.modules[__name__])
