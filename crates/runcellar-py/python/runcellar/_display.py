"""What a notebook shows of tables, series, runs and workspaces: static HTML.

There is no script and nothing is loaded from elsewhere. Every text of a user is escaped, isolated
from the direction of the text around it, and free of characters that act instead of showing.
Colours are the page's own at several strengths, so that light and dark pages both fit. Rows,
columns, texts and points of a line are cut, and what was cut is counted, so that the size is
bounded whatever is shown.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from runcellar._runcellar import StoredRun, Table, Workspace
    from runcellar._series import Series
    from runcellar._session import Run

#: Rows of a table that are shown, half of them from its end.
ROWS_MAX = 10
#: Runs of a table of runs that are shown.
RUNS_MAX = 20
#: Columns of a table that are shown; names of others that are listed.
COLUMNS_MAX = 16
NAMES_MAX = 20
#: Entries of a config or summary that are shown, and metrics with a line each.
ENTRIES_MAX = 30
METRICS_MAX = 20
#: Characters of one text that are shown.
TEXT_MAX = 60
#: Stretches that a small line and a chart are drawn from: one and a half pixels each.
SPARK_STRETCHES = 64
CHART_STRETCHES = 320
#: Points that are read of each metric for a small line.
SPARK_POINTS = 400

_FRAME = "font:13px/1.45 system-ui,sans-serif;color:inherit;max-width:100%;overflow-x:auto"
_TABLE = "border-collapse:collapse;margin:.4em 0;font-variant-numeric:tabular-nums"
_HEAD = "padding:2px 12px 2px 0;font-weight:600;white-space:nowrap;border-bottom:1px solid"
_CELL = "padding:2px 12px 2px 0;white-space:nowrap;vertical-align:top"
_DIM = "opacity:.6"
_STATES = {
    "finished": "\u25cf",
    "running": "\u25b6",
    "failed": "\u2715",
    "crashed": "\u2715",
    "killed": "\u25a0",
}

#: A stretch of a line: place from 0 to 1, least and greatest value; NaN for both is a gap.
Stretch = tuple[float, float, float]
_Pairs = Iterable[tuple[str, Any]]
_Row = Union[Mapping[str, Any], None]


def text(value: str, limit: int = TEXT_MAX) -> str:
    """Return `value` as HTML that shows it and does nothing else.

    Parameters
    ----------
    value : str
        Any text.
    limit : int, optional
        Characters that are shown of it.

    Returns
    -------
    str
        Escaped for content and for attributes; controls, surrogates and marks of direction are
        U+FFFD, and line ends a space.
    """
    cut = value if len(value) <= limit else value[: limit - 1].rstrip() + "\u2026"
    shown = "".join(map(_visible, cut))
    return html.escape(shown)


def _visible(letter: str) -> str:
    if letter in "\n\t\r":
        return " "
    # Cc controls, Cf formats (of which joiners are letters of some scripts), Cs lone surrogates.
    kind = unicodedata.category(letter)
    acts = kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and letter not in "\u200c\u200d")
    return "\ufffd" if acts else letter


def _value(value: Any) -> str:
    """Return one value as HTML."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, int):
        return text(str(value))
    if isinstance(value, str):
        return f"<bdi>{text(value)}</bdi>"
    if isinstance(value, (list, tuple)):
        return f"<bdi>{text(', '.join(map(str, value[:TEXT_MAX])))}</bdi>"
    strftime = getattr(value, "strftime", None)
    if strftime is not None:
        return text(strftime("%Y-%m-%d %H:%M:%S"))
    return f"<bdi>{text(str(value))}</bdi>"


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "\u221e" if value > 0 else "-\u221e"
    return f"{value:.5g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours == 0:
        return f"{minutes} min {int(seconds % 60)} s"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _count(count: int, one: str) -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def _page(*parts: str) -> str:
    return f'<div style="{_FRAME}">{"".join(parts)}</div>'


def _title(name: str, facts: Iterable[str]) -> str:
    """Return a bold name (HTML) followed by dim facts (HTML)."""
    joined = " \u00b7 ".join(filter(None, facts))
    return f'<div><b>{name}</b> <span style="{_DIM}">{joined}</span></div>'


def _note(note: str) -> str:
    return f'<div style="{_DIM}">{note}</div>' if note else ""


# Lines


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


def _chart(stretches: Sequence[Stretch], label: str, first: int, last: int) -> str:
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
        mark(left - 8, top + 4, "end", _number(high))
        + mark(left - 8, floor + 4, "end", _number(low))
        if high > low
        else mark(left - 8, top + height / 2 + 4, "end", _number(low))
    )
    steps = mark(left, floor + 20, "start", str(first)) + mark(
        left + width, floor + 20, "end", f"step {last}"
    )
    line = f'<g transform="translate({left} {top})">{_stroke(data, 1.2)}</g>'
    return _svg(left + width + 16, floor + 28, label, grid + values + steps + line)


# Tables


def _rows_html(names: Sequence[str], rows: Sequence[_Row], sparks: Sequence[str] = ()) -> str:
    """Return a table; None among the rows stands for those that are left out."""
    numeric = {
        name
        for name in names
        if all(row is None or row[name] is None or _is_number(row[name]) for row in rows)
    }
    side = {name: ";text-align:right" if name in numeric else ";text-align:left" for name in names}
    head = "".join(
        f'<th style="{_HEAD}{side[name]}"><bdi>{text(name)}</bdi></th>' for name in names
    )
    lines = [f"<tr>{head}</tr>"]
    if any(sparks):
        shapes = (f'<td style="{_CELL}{side[name]}">{one}</td>' for name, one in zip(names, sparks))
        lines.append(f"<tr>{''.join(shapes)}</tr>")
    for row in rows:
        if row is None:
            lines.append(f'<tr><td style="{_CELL};{_DIM}" colspan="{len(names)}">\u22ee</td></tr>')
        else:
            cells = (f'<td style="{_CELL}{side[name]}">{_value(row[name])}</td>' for name in names)
            lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table style="{_TABLE}">{"".join(lines)}</table>'


def _left_out(names: Sequence[str]) -> str:
    """Return a note about columns that are not shown."""
    if not names:
        return ""
    listed = ", ".join(f"<bdi>{text(name, 30)}</bdi>" for name in names[:NAMES_MAX])
    more = ", \u2026" if len(names) > NAMES_MAX else ""
    return _note(f"{_count(len(names), 'column')} not shown: {listed}{more}")


def table(table: Table) -> str:
    """Return a table of rows and columns, with a small line above each column of numbers.

    Parameters
    ----------
    table : Table
        What `history` returned, or a table of runs.

    Returns
    -------
    str
        HTML.
    """
    if type(table).__name__ == "RunTable":
        return _page(_title("Runs", [_count(len(table), "run")]), _runs(table))
    count, names = len(table), table.columns[:COLUMNS_MAX]
    half = ROWS_MAX // 2
    whole = count <= ROWS_MAX
    rows: list[_Row] = list(table) if whole else [*table[:half], None, *table[-half:]]
    sparks = [
        "" if name in ("step", "time") else spark(table._sketch(name, SPARK_STRETCHES), name)
        for name in names
    ]
    facts = [_count(count, "row"), _count(len(table.columns), "column")]
    facts += ["sampled"] if table.sampled else []
    shown = _rows_html(names, rows, sparks) if count else ""
    return _page(_title("Table", facts), shown, _left_out(table.columns[len(names) :]))


def _runs(table: Table) -> str:
    """Return a table of runs: what tells them apart, and what they came to."""
    rows: list[_Row] = list(table[:RUNS_MAX])
    names, rest = _columns_of_runs(table.columns, [row for row in rows if row is not None])
    shown = [{name: _run_cell(row, name) for name in names} for row in rows if row is not None]
    hidden = len(table) - len(shown)
    note = _note(f"{_count(hidden, 'run')} not shown") if hidden else ""
    listed = _rows_html(names, shown) if shown else ""
    return f"{listed}{note}{_left_out(rest)}"


def _run_cell(row: Mapping[str, Any], name: str) -> Any:
    if name == "state":
        return f"{_STATES.get(row['state'], '')} {row['state']}"
    return _duration(row[name]) if name == "duration" else row[name]


def _columns_of_runs(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """Return the columns to show and the others; the same in all runs tells nothing of one."""

    def differs(name: str) -> bool:
        return len({str(row[name]) for row in rows}) > 1

    def used(name: str) -> bool:
        return any(row[name] not in (None, []) for row in rows)

    whole = ("config", "summary", "finished")
    telling = [
        name
        for name in columns
        if name in ("id", "name", "state", "created", "duration")
        or name.startswith("summary.")
        or (name in ("tags", "notes", "group", "job_type") and used(name))
        or ((name == "project" or name.startswith("config.")) and (differs(name) or len(rows) == 1))
    ]
    names = telling[:COLUMNS_MAX]
    rest = [name for name in columns if name not in names and name not in whole and used(name)]
    return names, rest


# Series


def series(series: Series) -> str:
    """Return a chart of a series, or the first and last of its texts.

    Parameters
    ----------
    series : Series
        What `series` returned.

    Returns
    -------
    str
        HTML.
    """
    count = len(series)
    facts = [_count(count, "point"), text(str(series.values.dtype))]
    facts += ["sampled"] if series.sampled else []
    title = _title("Series", facts)
    if count == 0:
        return _page(title)
    first, last = int(series.steps[0]), int(series.steps[-1])
    chart = _chart(_stretches(series, CHART_STRETCHES), f"{count} points", first, last)
    if chart:
        gaps = _gaps(series)
        return _page(title, chart, _note(f"NaN or infinite: {gaps:,}" if gaps else ""))
    half = ROWS_MAX // 2
    places = (
        list(range(count)) if count <= ROWS_MAX else [*range(half), *range(count - half, count)]
    )
    rows: list[_Row] = [
        {"step": int(series.steps[at]), "value": _plain(series.values[at])} for at in places
    ]
    if count > ROWS_MAX:
        rows.insert(half, None)
    return _page(title, _rows_html(("step", "value"), rows))


def _plain(value: Any) -> Any:
    item = getattr(value, "item", None)
    return value if item is None else item()


def _gaps(series: Series) -> int:
    import numpy as np

    kind = series.values.dtype.kind
    return int(np.count_nonzero(~np.isfinite(series.values))) if kind == "f" else 0


def _stretches(series: Series, count: int) -> list[Stretch]:
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


# Runs and workspaces


def _entries(title: str, entries: Mapping[str, Any]) -> str:
    """Return a titled table of names and values."""
    pairs = list(_leaves(entries))
    if not pairs:
        return ""
    lines = "".join(
        f'<tr><td style="{_CELL};{_DIM}"><bdi>{text(name)}</bdi></td>'
        f'<td style="{_CELL}">{_value(value)}</td></tr>'
        for name, value in pairs[:ENTRIES_MAX]
    )
    hidden = len(pairs) - ENTRIES_MAX
    note = _note(f"{hidden:,} more") if hidden > 0 else ""
    head = f'<div style="margin-top:.5em"><b>{title}</b></div>'
    return f'{head}<table style="{_TABLE}">{lines}</table>{note}'


def _leaves(entries: Mapping[str, Any], path: str = "") -> _Pairs:
    for key, value in entries.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _state(state: str) -> str:
    return f"{_STATES.get(state, '')} {text(state)}"


def recorder(run: Run) -> str:
    """Return a run being recorded: its name, config and summary.

    Parameters
    ----------
    run : Run
        What `init` returned.

    Returns
    -------
    str
        HTML.
    """
    info = run._info()
    state = "records nothing" if info is None else _state(info["state"])
    facts = [f"<bdi>{text(run.project)}</bdi>", text(run.id), state]
    config = run.config if info is None else info["config"]
    summary = {} if info is None else info["summary"]
    head = _title(f"<bdi>{text(run.name)}</bdi>", facts)
    return _page(head, _entries("config", config), _entries("summary", summary))


def stored(run: StoredRun) -> str:
    """Return a run: its name, config, metrics with a small line each, and the rest of its summary.

    Parameters
    ----------
    run : StoredRun
        What `Workspace.run` returned.

    Returns
    -------
    str
        HTML.
    """
    facts = [
        f"<bdi>{text(run.project)}</bdi>",
        text(run.id),
        _state(run.state),
        _value(run.created),
    ]
    if run.finished is not None:
        facts.append(_duration((run.finished - run.created).total_seconds()))
    facts += [f"<bdi>{text(tag)}</bdi>" for tag in run._tags()[:NAMES_MAX]]
    metrics = run.metrics()
    rows: list[Mapping[str, Any]] = [{**metric} for metric in metrics[:METRICS_MAX]]
    lines = [
        spark(_stretches(run.series(metric["name"], SPARK_POINTS), SPARK_STRETCHES), metric["name"])
        if metric["kind"] not in ("text", "histogram")
        else ""
        for metric in metrics[:METRICS_MAX]
    ]
    hidden = len(metrics) - len(rows)
    listed = _metrics_html(rows, lines) if rows else ""
    known = {metric["name"]: metric["last"] for metric in metrics}
    summary = {key: value for key, value in run.summary.items() if not _is_last(known, key, value)}
    return _page(
        _title(f"<bdi>{text(run.name)}</bdi>", facts),
        _note(f"<bdi>{text(run.notes, 400)}</bdi>") if run.notes else "",
        _entries("config", run.config),
        listed,
        _note(f"{_count(hidden, 'metric')} not shown") if hidden else "",
        _entries("summary", summary),
    )


def _is_last(known: Mapping[str, Any], key: str, value: Any) -> bool:
    last = known.get(key)
    return last is not None and (last == value or (last != last and value != value))


def _metrics_html(rows: Sequence[Mapping[str, Any]], lines: Sequence[str]) -> str:
    names = ("name", "points", "min", "max", "last")
    head = "".join(
        f'<th style="{_HEAD};text-align:{"left" if name == "name" else "right"}">'
        f"{'metrics' if name == 'name' else name}</th>"
        for name in names
    )
    body = []
    for row, line in zip(rows, lines):
        cells = "".join(
            f'<td style="{_CELL};text-align:{"left" if name == "name" else "right"}">'
            f"{_value(row[name])}</td>"
            for name in names
        )
        body.append(f'<tr>{cells}<td style="{_CELL}">{line}</td></tr>')
    return (
        f'<table style="{_TABLE}"><tr>{head}<th style="{_HEAD}"></th></tr>{"".join(body)}</table>'
    )


def workspace(workspace: Workspace) -> str:
    """Return a workspace: where it is, and its latest runs.

    Parameters
    ----------
    workspace : Workspace
        An open workspace.

    Returns
    -------
    str
        HTML.
    """
    head = _title(f"<bdi>{text(workspace.path, 200)}</bdi>", [text(workspace.id)])
    latest = workspace.runs(limit=RUNS_MAX)
    if len(latest) == 0:
        return _page(head, _note("no runs"))
    return _page(head, _note("latest runs"), _runs(latest))
