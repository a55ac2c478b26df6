"""Tables: rows, columns, slices, pandas, and Arrow through the C stream interface."""

from __future__ import annotations

import ctypes
import math
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import runcellar as rc


@pytest.fixture
def stored(ws_dir: str) -> rc.StoredRun:
    """A run with every kind of column, absent values, and NaN."""
    with rc.init("p", dir=ws_dir) as run:
        run.log({"f": 0.5, "i": 1, "b": True, "t": "one", "m": 1})
        run.log({"f": math.nan, "m": "text"})
        run.log({"i": 2**53 + 1, "b": False, "t": "\u00e9", "m": 2.5, "late": -0.0})
        run.log({"f": math.inf})
    return rc.Workspace(ws_dir).run(run.id)


def same(left: Any, right: Any) -> bool:
    """Compare with NaN equal to itself and types told apart."""
    return repr(left) == repr(right)


def test_rows_and_columns_are_python_objects(stored: rc.StoredRun) -> None:
    table = stored.history()
    assert table.columns == ["step", "time", "f", "i", "b", "t", "m", "late"]
    assert len(table) == 4
    assert same(table["f"], [0.5, math.nan, None, math.inf])
    assert same(table["i"], [1, None, 2**53 + 1, None])
    assert same(table["b"], [True, None, False, None])
    assert same(table["t"], ["one", None, "\u00e9", None])
    assert same(table["m"], [1, "text", 2.5, None])
    assert same(table["late"], [None, None, -0.0, None])
    assert table["step"] == [0, 1, 2, 3]
    assert all(time.tzinfo is timezone.utc for time in table["time"])
    rows = list(table)
    assert [list(row) for row in rows] == [table.columns] * 4
    assert same(rows[1], table[1])
    assert same(table[-1], rows[3])
    assert same(table[np.int64(2)], rows[2])
    assert "f" in table
    assert "x" not in table
    assert table.sampled is False
    assert repr(table) == "<runcellar.Table: 4 rows, 8 columns>"


def test_times_of_rows_equal_those_of_series(stored: rc.StoredRun) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    times = stored.series("i").times
    delta = stored.history(keys=["i"])["time"][0] - epoch
    assert (delta.days * 86_400 + delta.seconds) * 10**6 + delta.microseconds == times[0]


def test_slices_are_tables(stored: rc.StoredRun) -> None:
    table = stored.history()
    for piece in (slice(1, 3), slice(None, None, -1), slice(0, 0), slice(-2, None), slice(9, 12)):
        part = table[piece]
        assert same(list(part), list(table)[piece])
        assert part.columns == table.columns
        assert part.to_arrow().num_rows == len(part)


@pytest.mark.parametrize("index", [4, -5])
def test_an_index_outside_is_an_error(stored: rc.StoredRun, index: int) -> None:
    with pytest.raises(IndexError, match="4 rows"):
        stored.history()[index]


def test_a_missing_column_is_an_error(stored: rc.StoredRun) -> None:
    with pytest.raises(KeyError, match="no column"):
        stored.history()["missing"]
    with pytest.raises(TypeError):
        stored.history()[1.5]  # type: ignore[call-overload]


def test_keys_and_steps_select(stored: rc.StoredRun) -> None:
    table = stored.history(keys=["t", "f"])
    assert table.columns == ["step", "time", "f", "t"]
    assert table["step"] == [0, 1, 2, 3]
    assert stored.history(keys="t")["step"] == [0, 2]
    assert stored.history(steps=(1, 3))["step"] == [1, 2]
    assert stored.history(steps=(None, 2))["step"] == [0, 1]
    assert stored.history(steps=(2, None))["step"] == [2, 3]
    assert len(stored.history(steps=(5, 5))) == 0
    with pytest.raises(rc.NotFoundError, match="no metric"):
        stored.history(keys=["f", "missing"])


@pytest.fixture
def clocked(ws_dir: str) -> tuple[rc.StoredRun, np.ndarray]:
    """A run of 1,000 steps, with the microseconds of each."""
    with rc.init("p", dir=ws_dir) as run:
        for step in range(1000):
            run.log({"x": step / 4, "n": step})
    stored = rc.Workspace(ws_dir).run(run.id)
    return stored, stored.series("x").times


@pytest.mark.parametrize(
    "steps",
    [(100, 200), (None, 10), (990, None), (None, None), (5, 5), (9, 3), (-(2**63), 2**63 - 1)],
)
def test_steps_select_the_same_of_series_and_tables(
    clocked: tuple[rc.StoredRun, np.ndarray], steps: tuple[int | None, int | None]
) -> None:
    stored, times = clocked
    kept = list(range(1000))[slice(*(step and max(min(step, 1000), 0) for step in steps))]
    series = stored.series("x", steps=steps)
    assert series.steps.tolist() == kept
    assert series.values.tolist() == [step / 4 for step in kept]
    assert series.times.tolist() == times[kept].tolist() if kept else series.times.size == 0
    assert stored.history(keys="n", steps=steps)["n"] == kept
    # Two points of each of ten buckets, as the largest of values that rise is the last.
    assert len(stored.series("x", 30, steps=steps)) == (len(kept) if len(kept) <= 30 else 20)


def test_times_select_by_number_datetime_and_text(
    clocked: tuple[rc.StoredRun, np.ndarray],
) -> None:
    stored, times = clocked
    begin, end = int(times[300]), int(times[700])
    kept = np.flatnonzero((times >= begin) & (times < end)).tolist()
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    ends = [epoch + timedelta(microseconds=time) for time in (begin, end)]
    zone = timezone(timedelta(hours=5, minutes=30))
    forms: list[tuple[Any, Any]] = [
        (begin, end),
        (ends[0], ends[1]),
        (ends[0].astimezone(zone), end),
        (ends[0].isoformat(), ends[1].isoformat().replace("+00:00", "Z")),
    ]
    for form in forms:
        assert stored.series("x", times=form).steps.tolist() == kept
        assert stored.history(times=form)["step"] == kept
    both = [step for step in kept if 400 <= step < 410]
    assert stored.series("x", steps=(400, 410), times=(begin, end)).steps.tolist() == both
    assert stored.history(steps=(400, 410), times=(begin, end))["step"] == both
    assert stored.series("x", times=(None, begin)).steps.tolist() == list(range(kept[0]))
    assert len(stored.series("x", times=(end, begin))) == 0
    assert len(stored.series("x", times=("1999-01-01", "2000-01-01T00:00:00Z"))) == 0


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"times": (True, None)}, TypeError),
        ({"times": (1.5, None)}, TypeError),
        ({"times": ("yesterday", None)}, ValueError),
        ({"times": (1, 2, 3)}, (TypeError, ValueError)),
        ({"times": 7}, TypeError),
        ({"steps": (0.5, None)}, TypeError),
        ({"steps": (2**63, None)}, OverflowError),
        ({"steps": "12"}, TypeError),
    ],
)
def test_a_window_that_is_none_is_refused(
    stored: rc.StoredRun, given: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        stored.series("f", **given)
    with pytest.raises(error):
        stored.history(**given)


def test_points_thin_a_table(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        for step in range(1000):
            run.log({"x": step})
    table = rc.Workspace(ws_dir).run(run.id).history(points=10)
    assert table.sampled is True
    assert 3 <= len(table) <= 10
    assert table["x"][0] == 0
    assert table["x"][-1] == 999


def test_arrow_keeps_null_and_nan_apart(stored: rc.StoredRun) -> None:
    table = stored.history().to_arrow()
    expected = {
        **{"step": pa.int64(), "time": pa.timestamp("us", tz="UTC"), "f": pa.float64()},
        **{"i": pa.int64(), "b": pa.bool_(), "t": pa.string(), "m": pa.string()},
        "late": pa.float64(),
    }
    assert dict(zip(table.schema.names, table.schema.types)) == expected
    assert table["f"].null_count == 1
    assert same(table["f"].to_pylist(), [0.5, math.nan, None, math.inf])
    assert table["i"].to_pylist() == [1, None, 2**53 + 1, None]
    assert table["m"].to_pylist() == ["1", '"text"', "2.5", None]
    assert same(
        table["time"].to_pylist()[0].replace(tzinfo=timezone.utc), stored.history()["time"][0]
    )
    table.validate(full=True)


def test_any_consumer_of_the_c_stream_takes_a_table(stored: rc.StoredRun) -> None:
    table = stored.history()
    for _ in range(2):
        assert pa.table(table).num_rows == 4
    reader = pa.RecordBatchReader.from_stream(table)
    assert reader.read_all().num_rows == 4
    capsule = table.__arrow_c_stream__()
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    assert name(capsule) == b"arrow_array_stream"
    # One that nobody consumes is released with its capsule.
    del capsule, table


def test_a_table_of_many_rows_streams_in_batches(ws_dir: str) -> None:
    count = 70_000
    with rc.init(dir=ws_dir) as run:
        for step in range(count):
            run.log({"x": step, "f": step / 2, "t": "text"})
    stored = rc.Workspace(ws_dir).run(run.id)
    assert stored.history().to_arrow()["x"].num_chunks == 2
    table = stored.history(["x", "f"])
    arrow = table.to_arrow()
    assert arrow["x"].num_chunks == 1
    assert np.array_equal(arrow["x"].to_numpy(), np.arange(count))
    frame = table.to_pandas()
    assert np.array_equal(frame["f"].to_numpy(), np.arange(count) / 2)
    assert frame["f"].dtype == np.float64


def test_pandas_keeps_null_and_nan_apart(stored: rc.StoredRun) -> None:
    frame = stored.history().to_pandas()
    assert list(frame.columns) == stored.history().columns
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds["step"] == "int64"
    assert kinds["time"].startswith("datetime64[")
    assert kinds["time"].endswith("UTC]")
    assert (kinds["f"], kinds["i"], kinds["b"]) == ("Float64", "Int64", "boolean")
    assert frame["f"].isna().tolist()[2] is True
    values = frame["f"].array
    assert values._mask.tolist() == [False, False, True, False]
    assert np.isnan(values._data[1])
    assert frame["i"].tolist()[2] == 2**53 + 1
    assert frame["t"].tolist() == ["one", None, "\u00e9", None]
    assert frame["time"][0] == pd.Timestamp(stored.history()["time"][0])
    dense = stored.history(keys=["f"], steps=(0, 2)).to_pandas()
    assert str(dense["f"].dtype) == "float64"
    empty = stored.history(steps=(9, 9)).to_pandas()
    assert empty.shape == (0, 8)


def test_pandas_needs_no_pyarrow(ws_dir: str) -> None:
    script = f"""
import sys
sys.modules["pyarrow"] = None
import runcellar as rc
with rc.init(dir={ws_dir!r}) as run:
    run.log({{"x": 1.5, "t": "a"}})
    run.log({{"x": 2.5}})
frame = rc.Workspace({ws_dir!r}).run(run.id).history().to_pandas()
assert frame["x"].tolist() == [1.5, 2.5], frame
assert len(rc.Workspace({ws_dir!r}).runs().to_pandas()) == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.fixture
def workspace(ws_dir: str) -> rc.Workspace:
    """Four runs that agree and disagree on the types of their configs."""
    configs: list[dict[str, Any]] = [
        {"lr": 0.1, "n": 1, "mixed": 1, "opt": {"name": "a", "on": True}, "layers": [1, 2]},
        {"lr": 0.2, "n": 2, "mixed": "x", "opt": {"name": "b"}, "layers": []},
        {"lr": math.nan, "n": None, "mixed": 0.5, "opt": {}},
        {},
    ]
    for index, config in enumerate(configs):
        with rc.init(
            "p" if index < 3 else "q",
            dir=ws_dir,
            config=config,
            name=f"run-{index}",
            id=f"id-{index}",
            tags=["t"] * (index == 0),
            group="g" if index < 2 else None,
        ) as run:
            if index < 3:
                run.log({"loss": 3.0 - index, "a/b": index})
    return rc.Workspace(ws_dir)


def test_run_table_has_the_promised_columns(workspace: rc.Workspace) -> None:
    table = workspace.runs(order_by="name")
    assert table.columns == [
        *("id", "name", "project", "state", "created", "finished", "duration", "tags"),
        *("group", "job_type", "notes"),
        *("config.lr", "config.n", "config.mixed", "config.opt.name", "config.opt.on"),
        *("config.layers", "config.opt"),
        *("summary.loss", "summary.a/b", "config", "summary"),
    ]
    assert table["id"] == ["id-0", "id-1", "id-2", "id-3"]
    assert same(table["config.lr"], [0.1, 0.2, math.nan, None])
    assert table["config.n"] == [1, 2, None, None]
    assert table["config.mixed"] == [1, "x", 0.5, None]
    assert table["config.layers"] == [[1, 2], [], None, None]
    assert table["config.opt"] == [None, None, {}, None]
    assert table["tags"] == [["t"], [], [], []]
    assert table["group"] == ["g", "g", None, None]
    assert table["summary.loss"] == [3.0, 2.0, 1.0, None]
    assert table[1]["config"] == {
        "lr": 0.2,
        "n": 2,
        "mixed": "x",
        "opt": {"name": "b"},
        "layers": [],
    }
    assert table[3]["summary"] == {}
    assert isinstance(table[0]["created"], datetime)
    assert all(duration >= 0 for duration in table["duration"])
    assert type(table[1:]).__name__ == "RunTable"


def test_run_table_in_arrow_has_one_type_a_column(workspace: rc.Workspace) -> None:
    table = workspace.runs(order_by="name").to_arrow()
    types = dict(zip(table.schema.names, table.schema.types))
    assert types["created"] == types["finished"] == pa.timestamp("us", tz="UTC")
    assert types["duration"] == types["config.lr"] == pa.float64()
    assert types["config.n"] == pa.int64()
    assert types["config.opt.on"] == pa.bool_()
    assert types["tags"] == pa.list_(pa.string())
    assert table["config.mixed"].to_pylist() == ["1", '"x"', "0.5", None]
    assert table["config.layers"].to_pylist() == ["[1,2]", "[]", None, None]
    assert table["config"].to_pylist()[2:] == [
        '{"lr":"NaN","n":null,"mixed":0.5,"opt":{}}',
        "{}",
    ]
    assert table["summary"].to_pylist()[0] == '{"loss":3.0,"a/b":0}'
    assert table["tags"].to_pylist() == [["t"], [], [], []]
    frame = workspace.runs(order_by="name").to_pandas()
    assert frame["config.n"].dtype == "Int64"
    assert frame["config"][3] == "{}"
    assert frame["tags"][0] == ["t"]


def test_runs_are_filtered_sorted_and_limited(workspace: rc.Workspace) -> None:
    def ids(**arguments: Any) -> list[str]:
        return workspace.runs(**arguments)["id"]

    assert ids() == ["id-3", "id-2", "id-1", "id-0"]
    assert ids(order_by=None) == ids()
    assert ids(project="p", order_by="created") == ["id-0", "id-1", "id-2"]
    assert ids(where="summary.loss < 2.5", order_by="summary.loss") == ["id-2", "id-1"]
    assert ids(where='"t" in tags or project = "q"', order_by="id") == ["id-0", "id-3"]
    assert ids(order_by="-summary.loss,id", limit=2) == ["id-0", "id-1"]
    assert ids(limit=0) == []
    assert ids(project="nobody") == []
    assert workspace.runs(project="nobody").columns[-2:] == ["config", "summary"]
    assert workspace.runs(project="nobody").to_arrow().num_rows == 0


def test_controls_in_json_text_are_escaped(ws_dir: str) -> None:
    import json

    config = {'quote"\\\n\t\x01': ["\u2028\U0001f600", 1e300, 1.0, -0.0, 2**62]}
    rc.init(dir=ws_dir, config=config).finish()
    text = rc.Workspace(ws_dir).runs().to_arrow()["config"].to_pylist()[0]
    assert repr(json.loads(text)) == repr(config)
