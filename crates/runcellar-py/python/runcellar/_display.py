"""What a notebook shows of tables, series, runs and workspaces: static HTML.

There is no script and nothing is loaded from elsewhere. Every text of a user is escaped, isolated
from the direction of the text around it, and free of characters that act instead of showing.
Colours are the page's own at several strengths, so that light and dark pages both fit. Rows,
columns, texts and points of a line are cut, and what was cut is counted, so that the size is
bounded whatever is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from runcellar._html import (
    CELL,
    DIM,
    HEAD,
    TABLE,
    aside,
    counted,
    duration,
    heading,
    is_number,
    page,
    text,
    value_html,
)
from runcellar._lines import chart, spark, stretches

if TYPE_CHECKING:
    from runcellar._run import Run
    from runcellar._runcellar import StoredRun, Table, Workspace
    from runcellar._series import Series

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
#: Stretches that a small line and a chart are drawn from: one and a half pixels each.
SPARK_STRETCHES = 64
CHART_STRETCHES = 320
#: Points that are read of each metric for a small line.
SPARK_POINTS = 400

_STATES = {
    "finished": "\u25cf",
    "running": "\u25b6",
    "failed": "\u2715",
    "crashed": "\u2715",
    "killed": "\u25a0",
}

_Pairs = Iterable[tuple[str, Any]]
_Row = Union[Mapping[str, Any], None]


# Tables


def _rows_html(names: Sequence[str], rows: Sequence[_Row], sparks: Sequence[str] = ()) -> str:
    """Return a table; None among the rows stands for those that are left out."""
    numeric = {
        name
        for name in names
        if all(row is None or row[name] is None or is_number(row[name]) for row in rows)
    }
    side = {name: ";text-align:right" if name in numeric else ";text-align:left" for name in names}
    head = "".join(f'<th style="{HEAD}{side[name]}"><bdi>{text(name)}</bdi></th>' for name in names)
    lines = [f"<tr>{head}</tr>"]
    if any(sparks):
        shapes = (f'<td style="{CELL}{side[name]}">{one}</td>' for name, one in zip(names, sparks))
        lines.append(f"<tr>{''.join(shapes)}</tr>")
    for row in rows:
        if row is None:
            lines.append(f'<tr><td style="{CELL};{DIM}" colspan="{len(names)}">\u22ee</td></tr>')
        else:
            cells = (
                f'<td style="{CELL}{side[name]}">{value_html(row[name])}</td>' for name in names
            )
            lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table style="{TABLE}">{"".join(lines)}</table>'


def _left_out(names: Sequence[str]) -> str:
    """Return a note about columns that are not shown."""
    if not names:
        return ""
    listed = ", ".join(f"<bdi>{text(name, 30)}</bdi>" for name in names[:NAMES_MAX])
    more = ", \u2026" if len(names) > NAMES_MAX else ""
    return aside(f"{counted(len(names), 'column')} not shown: {listed}{more}")


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
        return page(heading("Runs", [counted(len(table), "run")]), _runs(table))
    count, names = len(table), table.columns[:COLUMNS_MAX]
    half = ROWS_MAX // 2
    whole = count <= ROWS_MAX
    rows: list[_Row] = list(table) if whole else [*table[:half], None, *table[-half:]]
    sparks = [
        "" if name in ("step", "time") else spark(table._sketch(name, SPARK_STRETCHES), name)
        for name in names
    ]
    facts = [counted(count, "row"), counted(len(table.columns), "column")]
    facts += ["sampled"] if table.sampled else []
    shown = _rows_html(names, rows, sparks) if count else ""
    return page(heading("Table", facts), shown, _left_out(table.columns[len(names) :]))


def _runs(table: Table) -> str:
    """Return a table of runs: what tells them apart, and what they came to."""
    rows: list[_Row] = list(table[:RUNS_MAX])
    names, rest = _columns_of_runs(table.columns, [row for row in rows if row is not None])
    shown = [{name: _run_cell(row, name) for name in names} for row in rows if row is not None]
    hidden = len(table) - len(shown)
    note = aside(f"{counted(hidden, 'run')} not shown") if hidden else ""
    listed = _rows_html(names, shown) if shown else ""
    return f"{listed}{note}{_left_out(rest)}"


def _run_cell(row: Mapping[str, Any], name: str) -> Any:
    if name == "state":
        return f"{_STATES.get(row['state'], '')} {row['state']}"
    return duration(row[name]) if name == "duration" else row[name]


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
    facts = [counted(count, "point"), text(str(series.values.dtype))]
    facts += ["sampled"] if series.sampled else []
    title = heading("Series", facts)
    if count == 0:
        return page(title)
    first, last = int(series.steps[0]), int(series.steps[-1])
    drawn = chart(stretches(series, CHART_STRETCHES), f"{count} points", first, last)
    if drawn:
        gaps = _gaps(series)
        return page(title, drawn, aside(f"NaN or infinite: {gaps:,}" if gaps else ""))
    half = ROWS_MAX // 2
    places = (
        list(range(count)) if count <= ROWS_MAX else [*range(half), *range(count - half, count)]
    )
    rows: list[_Row] = [
        {"step": int(series.steps[at]), "value": _plain(series.values[at])} for at in places
    ]
    if count > ROWS_MAX:
        rows.insert(half, None)
    return page(title, _rows_html(("step", "value"), rows))


def _plain(value: Any) -> Any:
    item = getattr(value, "item", None)
    return value if item is None else item()


def _gaps(series: Series) -> int:
    import numpy as np

    kind = series.values.dtype.kind
    return int(np.count_nonzero(~np.isfinite(series.values))) if kind == "f" else 0


# Runs and workspaces


def _entries(title: str, entries: Mapping[str, Any]) -> str:
    """Return a titled table of names and values."""
    pairs = list(_leaves(entries))
    if not pairs:
        return ""
    lines = "".join(
        f'<tr><td style="{CELL};{DIM}"><bdi>{text(name)}</bdi></td>'
        f'<td style="{CELL}">{value_html(value)}</td></tr>'
        for name, value in pairs[:ENTRIES_MAX]
    )
    hidden = len(pairs) - ENTRIES_MAX
    note = aside(f"{hidden:,} more") if hidden > 0 else ""
    head = f'<div style="margin-top:.5em"><b>{title}</b></div>'
    return f'{head}<table style="{TABLE}">{lines}</table>{note}'


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
    head = heading(f"<bdi>{text(run.name)}</bdi>", facts)
    return page(head, _entries("config", config), _entries("summary", summary))


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
        value_html(run.created),
    ]
    if run.finished is not None:
        facts.append(duration((run.finished - run.created).total_seconds()))
    facts += [f"<bdi>{text(tag)}</bdi>" for tag in run._tags()[:NAMES_MAX]]
    metrics = run.metrics()
    rows: list[Mapping[str, Any]] = [{**metric} for metric in metrics[:METRICS_MAX]]
    lines = [
        spark(stretches(run.series(metric["name"], SPARK_POINTS), SPARK_STRETCHES), metric["name"])
        if metric["kind"] not in ("text", "histogram")
        else ""
        for metric in metrics[:METRICS_MAX]
    ]
    hidden = len(metrics) - len(rows)
    listed = _metrics_html(rows, lines) if rows else ""
    known = {metric["name"]: metric["last"] for metric in metrics}
    summary = {key: value for key, value in run.summary.items() if not _is_last(known, key, value)}
    return page(
        heading(f"<bdi>{text(run.name)}</bdi>", facts),
        aside(f"<bdi>{text(run.notes, 400)}</bdi>") if run.notes else "",
        _entries("config", run.config),
        listed,
        aside(f"{counted(hidden, 'metric')} not shown") if hidden else "",
        _entries("summary", summary),
    )


def _is_last(known: Mapping[str, Any], key: str, value: Any) -> bool:
    last = known.get(key)
    return last is not None and (last == value or (last != last and value != value))


def _metrics_html(rows: Sequence[Mapping[str, Any]], lines: Sequence[str]) -> str:
    names = ("name", "points", "min", "max", "last")
    head = "".join(
        f'<th style="{HEAD};text-align:{"left" if name == "name" else "right"}">'
        f"{'metrics' if name == 'name' else name}</th>"
        for name in names
    )
    body = []
    for row, line in zip(rows, lines):
        cells = "".join(
            f'<td style="{CELL};text-align:{"left" if name == "name" else "right"}">'
            f"{value_html(row[name])}</td>"
            for name in names
        )
        body.append(f'<tr>{cells}<td style="{CELL}">{line}</td></tr>')
    return f'<table style="{TABLE}"><tr>{head}<th style="{HEAD}"></th></tr>{"".join(body)}</table>'


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
    head = heading(f"<bdi>{text(workspace.path, 200)}</bdi>", [text(workspace.id)])
    latest = workspace.runs(limit=RUNS_MAX)
    if len(latest) == 0:
        return page(head, aside("no runs"))
    return page(head, aside("latest runs"), _runs(latest))
