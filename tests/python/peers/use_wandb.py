"""Weights & Biases, offline: a Go process beside the trainer writes a `.wandb` file.

It has no reader of such files in Python, so the file is decoded here: a log of LevelDB's form
(blocks of 32 KiB, records with a header of 7 bytes) that holds protobuf messages of wandb's own.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import wandb
import work
from wandb.proto import wandb_internal_pb2

BLOCK_BYTES = 32 << 10
HEADER_BYTES = 7


def start(directory: Path, name: str) -> Callable[[work.Row], object]:
    settings = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        silent=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
    )
    os.environ["WANDB_DIR"] = str(directory)
    return wandb.init(project="bench", name=name, mode="offline", settings=settings).log


def finish() -> None:
    wandb.finish()


def records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a log; a torn one ends it."""
    place, parts = HEADER_BYTES, b""
    while place + HEADER_BYTES <= len(data):
        if BLOCK_BYTES - place % BLOCK_BYTES < HEADER_BYTES:
            place += BLOCK_BYTES - place % BLOCK_BYTES
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        place += HEADER_BYTES
        if kind == 0 or place + length > len(data):
            return
        parts += data[place : place + length]
        place += length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def values(directory: Path, metric: str) -> list[float]:
    found = []
    (path,) = directory.glob("wandb/offline-run-*/run-*.wandb")
    for record in records(path.read_bytes()):
        message = wandb_internal_pb2.Record.FromString(record)
        for item in message.history.item:
            if metric in (item.key, *item.nested_key):
                found += [float(json.loads(item.value_json))]
    return found


if __name__ == "__main__":
    work.main(sys.modules[__name__])
