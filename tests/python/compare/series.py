"""The series that are logged: the size mix, and noise."""

from __future__ import annotations

import json
import math
import os
import random
import struct
from array import array
from pathlib import Path

from peers import work


def mix() -> tuple[list[array[float]], str]:
    """Return the series of the size mix, as `crates/runcellar/benches/series` makes them."""
    path = os.environ.get("RUNCELLAR_BENCH_SERIES")
    if not path:
        return generated(), "generated series"
    import zstandard

    text = zstandard.ZstdDecompressor().stream_reader(Path(path).read_bytes()).read()
    longest: dict[tuple[str, str], tuple[str, list[float]]] = {}
    for line in filter(None, text.decode().split("\n")):
        item = json.loads(line)
        found = (item["run"], [float(value) for value in item["value"]])
        key = (item["source"], item["metric"])
        known = longest.get(key, ("", []))
        if (-len(found[1]), found[0]) < (-len(known[1]), known[0]):
            longest[key] = found
    ordered = sorted(
        longest.items(), key=lambda one: (-len(one[1][1]), one[0][0], one[1][0], one[0][1])
    )
    return [array("d", values) for _, (_, values) in ordered[: work.SCALARS]], "real series"


def generated() -> list[array[float]]:
    """Return series of the same classes: float32 losses, decimals, counters, schedules, noise."""
    state = 0x9E3779B97F4A7C15

    def noise() -> float:
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        return (state >> 11) / 2.0**53

    def float32(value: float) -> float:
        return float(struct.unpack("f", struct.pack("f", value))[0])

    def value(index: int, step: int) -> float:
        progress = step / 10_000.0
        return [
            lambda: float32(2.0 * math.exp(-4.0 * progress) + 0.1 * noise()),
            lambda: round((0.9 - 0.5 * math.exp(-6.0 * progress) + 0.02 * noise()) * 1e4) / 1e4,
            lambda: float(step * 32),
            lambda: float32(1e-3 * (1.0 - progress)),
            lambda: float32(noise()),
        ][index % 5]()

    return [
        array("d", (value(index, step) for step in range(10_000))) for index in range(work.SCALARS)
    ]


def noise(length: int) -> list[array[float]]:
    """Return series of float64 noise: no codec has a hold on it."""
    source = random.Random(7)
    return [array("d", (source.gauss(0, 1) for _ in range(length))) for _ in range(work.SCALARS)]
