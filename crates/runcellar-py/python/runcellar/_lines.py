"""Lines as inline SVG, cut to so many stretches, each from its least to its greatest value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runcellar._html import number, text

if TYPE_CHECKING:
    from runcellar._series import Series

#: A stretch of a line: place from 0 to 1, least and greatest value; NaN for both is a gap.
Stretch = tuple[float, float, float]


def _path(stretches: Sequence[Stretch], width: float, height: float) -> tuple[str, float, float]:
    """Return path data in a box with its origin at the top left, and the range of values."""
    finite = [one for one in stretches if not math.isnan(one[1])]
    low = min((one[1] for one in finite), default=0.0)
    high = max((one[2] for one in finite), default=0.0)
    # Halved, as the difference of two finite doubles may be infinite.
    span = high / 2 - low / 2

    def y(value: float) -> float:
        return height * (1 - (value / 2 - low / 2) / span) if span > 0 else height / 2

    data, joined, before = [], False, 0.0
    for place, least, greatest in stretches:
        if math.isnan(least):
            joined = False
            continue
        x, ends = place * width, [y(least)] if least == greatest else [y(least), y(greatest)]
        if len(ends) == 2 and joined and abs(ends[1] - before) < abs(ends[0] - before):
            ends.reverse()
        for end in ends:
            data.append(f"{'L' if joined else 'M'}{x:.1f} {end:.1f}")
            joined = True
        if data[-1][0] == "M":
            # A point without neighbours shows as the dot of its round cap.
            data.append("h0")
        before = ends[-1]
    return "".join(data), low, high


def _svg(width: int, height: int, label: str, body: str) -> str:
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{text(label)}" style="overflow:visible">{body}</svg>'
    )


def _stroke(data: str, width: float) -> str:
    return (
        f'<path d="{data}" fill="none" stroke="currentColor" stroke-width="{width}" '
        'stroke-linecap="round" stroke-linejoin="round"/>'
    )


def spark(stretches: Sequence[Stretch], label: str) -> str:
    """Return a small line without axes.

    Parameters
    ----------
    stretches : sequence of tuple of float
        Place from 0 to 1, least and greatest value of each stretch.
    label : str
        What it shows, for screen readers.

    Returns
    -------
    str
        An SVG element; nothing if there is no finite value.
    """
    data, _, _ = _path(stretches, 92, 16)
    if not data:
        return ""
    return _svg(96, 20, label, f'<g transform="translate(2 2)">{_stroke(data, 1)}</g>')


def chart(stretches: Sequence[Stretch], label: str, first: int, last: int) -> str:
    """Return a line with the range of values and steps at its sides."""
    width, height, left, top = 480, 120, 64, 8
    data, low, high = _path(stretches, width, height)
    if not data:
        return ""

    def mark(x: float, y: float, anchor: str, content: str) -> str:
        return (
            f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="currentColor" opacity=".6" '
            f'font-size="11">{content}</text>'
        )

    grid = "".join(
        f'<path d="M{left} {y}h{width}" stroke="currentColor" opacity=".15"/>'
        for y in ((top, top + height) if high > low else (top + height / 2,))
    )
    floor = top + height
    values = (
        mark(left - 8, top + 4, "end", number(high)) + mark(left - 8, floor + 4, "end", number(low))
        if high > low
        else mark(left - 8, top + height / 2 + 4, "end", number(low))
    )
    steps = mark(left, floor + 20, "start", str(first)) + mark(
        left + width, floor + 20, "end", f"step {last}"
    )
    line = f'<g transform="translate({left} {top})">{_stroke(data, 1.2)}</g>'
    return _svg(left + width + 16, floor + 28, label, grid + values + steps + line)


def stretches(series: Series, count: int) -> list[Stretch]:
    """Return the least and greatest finite value of each stretch of steps."""
    import numpy as np

    steps, values = series.steps, series.values
    if values.dtype.kind not in "fib" or len(steps) == 0:
        return []
    first, last = int(steps[0]), int(steps[-1])
    # In Python's integers: the span of two int64 may take 65 bits.
    edges = [first + (last - first) * at // count for at in range(1, count)]
    ends = [*np.searchsorted(steps, np.array(edges, dtype=np.int64)).tolist(), len(steps)]
    found, begin = [], 0
    for end in ends:
        part = values[begin:end].astype(np.float64)
        if len(part):
            middle = (int(steps[begin]) + int(steps[end - 1])) / 2
            place = (middle - first) / (last - first) if last > first else 0.5
            part = part[np.isfinite(part)]
            ends_of = (float(part.min()), float(part.max())) if len(part) else (math.nan, math.nan)
            found.append((place, *ends_of))
        begin = end
    return found
