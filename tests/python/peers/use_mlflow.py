"""MLflow with its SQLite backend."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import work
from mlflow.entities import Metric

#: The most metrics that one batch takes.
BATCH_MAX = 1000


def open_store(directory: Path) -> mlflow.MlflowClient:
    mlflow.set_tracking_uri(f"sqlite:///{directory}/mlflow.db")
    return mlflow.MlflowClient()


def start(directory: Path, name: str) -> Callable[[work.Row], object]:
    open_store(directory)
    mlflow.start_run(run_name=name)
    steps = itertools.count()
    return lambda row: mlflow.log_metrics(row, step=next(steps))


def finish() -> None:
    mlflow.end_run()


def fill(directory: Path, rows: Iterator[work.Row]) -> None:
    client = open_store(directory)
    run_id = mlflow.start_run().info.run_id
    points = (
        Metric(name, value, time.time_ns() // 1_000_000, step)
        for step, row in enumerate(rows)
        for name, value in row.items()
    )
    while batch := list(itertools.islice(points, BATCH_MAX)):
        client.log_batch(run_id, metrics=batch)
    mlflow.end_run()


def values(directory: Path, metric: str) -> list[float]:
    client = open_store(directory)
    (run,) = client.search_runs(["0"])
    return [point.value for point in client.get_metric_history(run.info.run_id, metric)]


def make_runs(directory: Path, losses: Iterator[float]) -> Iterator[None]:
    open_store(directory)
    for loss in losses:
        with mlflow.start_run():
            mlflow.log_param("lr", loss)
            mlflow.log_metric("loss", loss)
        yield


def select(directory: Path, limit: float) -> int:
    runs = open_store(directory).search_runs(["0"], f"metrics.loss < {limit}", max_results=50_000)
    return len([run.info.run_id for run in runs])


if __name__ == "__main__":
    work.main(sys.modules[__name__])
