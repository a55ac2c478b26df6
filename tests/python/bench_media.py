"""Measure what an 8-image panel costs the training thread beside copying its pixels.

Run ``python tests/python/bench_media.py [--dir DIR] [--rounds N]``. Each round copies the pixels,
then makes the images and logs the panel, then flushes, which is not measured. The median ratio of
the rounds counts; the target is 1.5.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

IMAGES, SIDE, CHANNELS = 8, 512, 3
RATIO_MAX = 1.5


def measure(directory: Path, rounds: int) -> tuple[float, float, float]:
    """Return the medians of a copy and of a `log`, in milliseconds, and of their ratio."""
    import numpy as np
    import runcellar as rc

    rng = np.random.default_rng(0)
    shape = (SIDE, SIDE, CHANNELS)
    pictures = [rng.integers(0, 255, shape).astype(np.uint8) for _ in range(IMAGES)]
    copies, logs = [], []
    with rc.init("bench", dir=directory / "cellar", system=False, source=False) as run:
        for index in range(rounds + 5):
            # New content each time: what is known is not stored again.
            for picture in pictures:
                picture[0, 0, 0] = index % 256
                picture[0, 1, 0] = index // 256
            begun = time.perf_counter()
            copied = [picture.copy() for picture in pictures]
            copied_at = time.perf_counter()
            # Both find memory as warm as the other does.
            del copied
            between = time.perf_counter()
            run.log({"samples": [rc.Image(picture) for picture in pictures]})
            ended = time.perf_counter()
            run.flush()
            if index >= 5:
                copies.append((copied_at - begun) * 1000)
                logs.append((ended - between) * 1000)
    ratios = [log / copy for log, copy in zip(logs, copies)]
    return statistics.median(copies), statistics.median(logs), statistics.median(ratios)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, help="where to put the workspace")
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as directory:
        copy, log, ratio = measure(Path(directory), args.rounds)
    print(f"{IMAGES} images of {SIDE} x {SIDE} x {CHANNELS}: copying the pixels {copy:.2f} ms,")
    print(f"log() of the panel {log:.2f} ms: ratio {ratio:.2f} (at most {RATIO_MAX})")


if __name__ == "__main__":
    main()
