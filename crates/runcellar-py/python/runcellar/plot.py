"""Plots from numbers, drawn without a plotting package: a small JSON of their own and an SVG.

>>> run.log({"roc": rc.plot.roc_curve(y_true, y_score)})  # doctest: +SKIP
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any

from runcellar._errors import InvalidArgumentError
from runcellar.media._base import Media, as_array, checked_text, of_bytes

__all__ = [
    "Plot",
    "bar",
    "confusion_matrix",
    "histogram",
    "line",
    "pr_curve",
    "roc_curve",
    "scatter",
]

#: Points of one plot at most.
POINTS_MAX = 100_000
#: Classes of a confusion matrix at most.
CLASSES_MAX = 1000
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 640, 400, 60, 36, 16, 44
_COLORS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")


class Plot(Media):
    """A plot: what is drawn as JSON, and an SVG of it beside, ``static.svg``."""

    __slots__ = ()

    def __init__(self, spec: dict[str, Any], svg: str) -> None:
        title = checked_text("title", spec.get("title"))
        said = {"caption": title, "plot": spec["plot"]}
        svg_file = ("static.svg", of_bytes(svg.encode()))
        text = json.dumps(spec, allow_nan=False)
        self._set("plot", "json", of_bytes(text.encode()), said, companions=[svg_file])


def line(
    x: Any, y: Any, *, names: Sequence[str] | None = None, title: str = "", xlabel: str = "x"
) -> Plot:
    """Draw lines: ``y`` of shape (n,), or several of them in a list with ``names``."""
    return _lines("line", x, y, names, title, xlabel, "")


def scatter(x: Any, y: Any, *, title: str = "", xlabel: str = "x", ylabel: str = "y") -> Plot:
    """Draw points at ``x`` and ``y`` of shape (n,)."""
    xs, ys = _numbers("x", x), _numbers("y", y)
    _same_length(xs, ys)
    spec = {"plot": "scatter", "title": title, "x": xs, "y": ys, "labels": [xlabel, ylabel]}
    axes = _Axes(xs, ys)
    marks = "".join(
        f'<circle cx="{axes.x(a):.1f}" cy="{axes.y(b):.1f}" r="3" fill="{_COLORS[0]}"/>'
        for a, b in zip(xs, ys)
    )
    return Plot(spec, axes.svg(marks, title, xlabel, ylabel))


def bar(labels: Sequence[str], values: Any, *, title: str = "") -> Plot:
    """Draw a bar for each label."""
    heights = _numbers("values", values)
    names = [str(label) for label in labels]
    if len(names) != len(heights):
        raise InvalidArgumentError(f"bar: {len(names)} labels and {len(heights)} values")
    spec = {"plot": "bar", "title": title, "labels": names, "values": heights}
    return Plot(spec, _bars(names, heights, title))


def histogram(values: Any, *, bins: int = 20, title: str = "") -> Plot:
    """Draw how often values fall into equal ``bins``; NaN and infinite ones are left out."""
    import numpy as np

    array = _array("values", values)
    array = array[np.isfinite(array)]
    if not 1 <= bins <= 4096 or not len(array):
        raise InvalidArgumentError("histogram: some finite values and 1 to 4096 bins are expected")
    counts, edges = np.histogram(array, bins)
    spec = {"plot": "histogram", "title": title, "edges": edges.tolist()}
    spec["counts"] = counts.tolist()
    middles = [f"{(low + high) / 2:.3g}" for low, high in zip(edges, edges[1:])]
    return Plot(spec, _bars(middles, [float(count) for count in counts], title))


def roc_curve(
    y_true: Any, y_score: Any, *, names: Sequence[str] | None = None, title: str = "ROC"
) -> Plot:
    """Draw the receiver operating characteristic.

    Parameters
    ----------
    y_true : array_like of int, shape (n,)
        The classes: 0 and 1, or 0 to k - 1 if ``y_score`` has k columns.
    y_score : array_like of float, shape (n,) or (n, k)
        The score of class 1, or of each class.
    names : sequence of str, optional
        Names of the classes.
    title : str, optional
        Title.

    Notes
    -----
    Points are at each distinct score, from the highest, after (0, 0); the area is by trapezoids.
    """
    curves, areas = [], []
    for truth, score, name in _classes(y_true, y_score, names):
        hits, misses = _cumulated(truth, score)
        xs = [0.0, *(misses / misses[-1]).tolist()] if misses[-1] else None
        ys = [0.0, *(hits / hits[-1]).tolist()] if hits[-1] else None
        if xs is None or ys is None:
            raise InvalidArgumentError("roc_curve: both classes are expected in y_true")
        area = sum((b - a) * (c + d) / 2 for a, b, c, d in zip(xs, xs[1:], ys, ys[1:]))
        curves.append((name, xs, ys))
        areas.append(area)
    return _curves("roc_curve", curves, areas, title, "false positive rate", "true positive rate")


def pr_curve(
    y_true: Any, y_score: Any, *, names: Sequence[str] | None = None, title: str = "PR"
) -> Plot:
    """Draw precision over recall; parameters as for `roc_curve`, areas are average precisions."""
    curves, areas = [], []
    for truth, score, name in _classes(y_true, y_score, names):
        hits, misses = _cumulated(truth, score)
        if not hits[-1]:
            raise InvalidArgumentError("pr_curve: y_true has none of the class")
        recall = (hits / hits[-1]).tolist()
        precision = (hits / (hits + misses)).tolist()
        steps = zip([0.0, *recall], recall, precision)
        areas.append(sum((now - before) * value for before, now, value in steps))
        curves.append((name, recall, precision))
    return _curves("pr_curve", curves, areas, title, "recall", "precision")


def confusion_matrix(
    y_true: Any, y_pred: Any, *, names: Sequence[str] | None = None, title: str = "Confusion"
) -> Plot:
    """Draw how often each true class (rows) was taken for each class (columns)."""
    import numpy as np

    truth, taken = _whole("y_true", y_true), _whole("y_pred", y_pred)
    _same_length(truth, taken)
    count = int(max(truth.max(), taken.max())) + 1 if len(truth) else 0
    count = max(count, len(names or ()))
    if not 1 <= count <= CLASSES_MAX:
        raise InvalidArgumentError(f"confusion_matrix: {count} classes, 1 to {CLASSES_MAX}")
    if names is not None and len(names) != count:
        raise InvalidArgumentError(f"confusion_matrix: {len(names)} names and {count} classes")
    matrix = np.zeros((count, count), dtype=np.int64)
    np.add.at(matrix, (truth, taken), 1)
    labels = [str(name) for name in names or range(count)]
    spec = {"plot": "confusion_matrix", "title": title, "names": labels, "counts": matrix.tolist()}
    return Plot(spec, _grid(matrix, labels, title))


def _array(what: str, values: Any) -> Any:
    import numpy as np

    array, _ = as_array(values)
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise InvalidArgumentError(f"{what}: numbers of shape (n,) are expected")
    if len(array) > POINTS_MAX:
        raise InvalidArgumentError(f"{what}: {len(array)} values, at most {POINTS_MAX} are drawn")
    return array.astype(np.float64)


def _numbers(what: str, values: Any) -> list[float]:
    numbers: list[float] = _array(what, values).tolist()
    if not numbers or not all(map(math.isfinite, numbers)):
        raise InvalidArgumentError(f"{what}: some numbers are expected, none NaN or infinite")
    return numbers


def _whole(what: str, values: Any) -> Any:
    import numpy as np

    array = _array(what, values)
    if not np.isfinite(array).all() or (array < 0).any() or (array != np.floor(array)).any():
        raise InvalidArgumentError(f"{what}: class numbers from 0 on are expected")
    return array.astype(np.int64)


def _same_length(left: Any, right: Any) -> None:
    if len(left) != len(right):
        raise InvalidArgumentError(f"{len(left)} and {len(right)} values: as many are expected")


def _classes(y_true: Any, y_score: Any, names: Sequence[str] | None) -> list[tuple[Any, Any, str]]:
    import numpy as np

    truth = _whole("y_true", y_true)
    scores, _ = as_array(y_score)
    if scores.ndim == 1:
        columns, numbers = [_array("y_score", scores)], [1]
    elif scores.ndim == 2 and scores.shape[1] <= CLASSES_MAX:
        columns = [_array("y_score", column) for column in scores.T]
        numbers = list(range(len(columns)))
    else:
        raise InvalidArgumentError(f"y_score of shape {scores.shape}: (n,) or (n, k) is expected")
    if names is not None and len(names) <= max(numbers):
        raise InvalidArgumentError(f"{len(names)} names, and class {max(numbers)} has one")
    out = []
    for number, column in zip(numbers, columns):
        _same_length(truth, column)
        if not len(column) or not np.isfinite(column).all():
            raise InvalidArgumentError("y_score: some are expected, none NaN or infinite")
        name = str(names[number]) if names is not None else str(number)
        # A class that does not occur has no curve.
        if len(columns) == 1 or (truth == number).any():
            out.append((truth == number, column, name))
    return out


def _cumulated(truth: Any, score: Any) -> tuple[Any, Any]:
    """Return hits and misses above each distinct score, from the highest."""
    import numpy as np

    order = np.argsort(-score, kind="stable")
    truth, score = truth[order], score[order]
    ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    hits = np.cumsum(truth)[ends]
    return hits, ends + 1 - hits


def _curves(
    plot: str,
    curves: list[tuple[str, list[float], list[float]]],
    areas: list[float],
    title: str,
    xlabel: str,
    ylabel: str,
) -> Plot:
    named = [
        {"name": name, "x": xs, "y": ys, "area": area}
        for (name, xs, ys), area in zip(curves, areas)
    ]
    spec = {"plot": plot, "title": title, "labels": [xlabel, ylabel], "curves": named}
    axes = _Axes([0.0, 1.0], [0.0, 1.0])
    return Plot(spec, axes.svg(axes.lines(curves), title, xlabel, ylabel))


def _lines(
    plot: str, x: Any, y: Any, names: Sequence[str] | None, title: str, xlabel: str, ylabel: str
) -> Plot:
    xs = _numbers("x", x)
    is_one = not len(y) or not hasattr(y[0], "__len__")
    all_ys = [_numbers("y", one) for one in ([y] if is_one else y)]
    labels = [str(name) for name in names] if names else [str(i) for i in range(len(all_ys))]
    if len(labels) != len(all_ys) or len(xs) * len(all_ys) > POINTS_MAX:
        raise InvalidArgumentError(f"line: {len(labels)} names, {len(all_ys)} lines")
    for ys in all_ys:
        _same_length(xs, ys)
    curves = [{"name": name, "x": xs, "y": ys} for name, ys in zip(labels, all_ys)]
    spec = {"plot": plot, "title": title, "labels": [xlabel, ylabel], "curves": curves}
    axes = _Axes(xs, [value for ys in all_ys for value in ys])
    drawn = axes.lines([(name, xs, ys) for name, ys in zip(labels, all_ys)])
    return Plot(spec, axes.svg(drawn, title, xlabel, ylabel))


class _Axes:
    """From numbers to places in a picture."""

    def __init__(self, xs: list[float], ys: list[float]) -> None:
        self._x, self._y = _ends(xs), _ends(ys)

    def x(self, value: float) -> float:
        low, high = self._x
        return _LEFT + (value / 2 - low / 2) / (high / 2 - low / 2) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        height = _HEIGHT - _TOP - _BOTTOM
        return _HEIGHT - _BOTTOM - (value / 2 - low / 2) / (high / 2 - low / 2) * height

    def lines(self, curves: list[tuple[str, list[float], list[float]]]) -> str:
        out = []
        for index, (name, xs, ys) in enumerate(curves):
            color = _COLORS[index % len(_COLORS)]
            points = " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in zip(xs, ys))
            out.append(f'<polyline points="{points}" fill="none" stroke="{color}"/>')
            if len(curves) > 1:
                place = f'x="{_WIDTH - _RIGHT - 4}" y="{_TOP + 14 * (index + 1)}"'
                out.append(f'<text {place} text-anchor="end" fill="{color}">{escape(name)}</text>')
        return "".join(out)

    def svg(self, marks: str, title: str, xlabel: str, ylabel: str) -> str:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        (x0, x1), (y0, y1) = self._x, self._y
        texts = [
            (_LEFT, bottom + 16, "start", f"{x0:.4g}"),
            (right, bottom + 16, "end", f"{x1:.4g}"),
            (_LEFT - 4, bottom, "end", f"{y0:.4g}"),
            (_LEFT - 4, _TOP + 10, "end", f"{y1:.4g}"),
            ((_LEFT + right) // 2, _HEIGHT - 10, "middle", xlabel),
            (_LEFT, _TOP - 6, "start", ylabel),
        ]
        box = f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#64748b"/>'
        drawn = "".join(_text(*text) for text in texts)
        return _svg(box + marks + drawn, title)


def _ends(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - (abs(low) or 1), high + (abs(high) or 1))


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(inner: str, title: str) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
    style = 'font-family="sans-serif" font-size="11">'
    ground = f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
    return head + style + ground + inner + _text(_WIDTH // 2, 18, "middle", title) + "</svg>"


def _bars(names: list[str], heights: list[float], title: str) -> str:
    axes = _Axes([0.0, float(len(names))], [0.0, *heights])
    marks = []
    for index, height in enumerate(heights):
        left, right = axes.x(index + 0.1), axes.x(index + 0.9)
        top, bottom = sorted((axes.y(0.0), axes.y(height)))
        marks.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}" fill="{_COLORS[0]}"><title>{escape(names[index])}: '
            f"{height:g}</title></rect>"
        )
        if len(names) <= 16:
            marks.append(_text((left + right) / 2, _HEIGHT - _BOTTOM + 30, "middle", names[index]))
    return axes.svg("".join(marks), title, "", "")


def _grid(matrix: Any, names: list[str], title: str) -> str:
    count, most = len(names), max(int(matrix.max()), 1)
    size = min((_WIDTH - _LEFT - _RIGHT), (_HEIGHT - _TOP - _BOTTOM)) / count
    marks = []
    for row in range(count):
        for column in range(count):
            value = int(matrix[row, column])
            x, y = _LEFT + column * size, _TOP + row * size
            shade = value / most
            marks.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{size:.1f}" height="{size:.1f}" '
                f'fill="{_COLORS[0]}" fill-opacity="{shade:.3f}" stroke="#cbd5e1"/>'
            )
            if count <= 16:
                marks.append(_text(x + size / 2, y + size / 2 + 4, "middle", str(value)))
        if count <= 16:
            marks.append(_text(_LEFT - 4, _TOP + (row + 0.6) * size, "end", names[row]))
    return _svg("".join(marks), title)
