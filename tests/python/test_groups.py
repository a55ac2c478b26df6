"""Groups of runs, filters with functions, and tables of runs with every kind of config."""

from __future__ import annotations

import math

import pytest
import runcellar as rc


@pytest.fixture
def workspace(ws_dir: str) -> rc.Workspace:
    """Six runs: four of one group, one of another, and one without the key."""
    for number in range(6):
        config = {"lr": 0.5, "amp": True} if number < 4 else {"lr": 1} if number == 4 else {}
        with rc.init("p", dir=ws_dir, id=f"run{number}", config=config) as run:
            run.log({"loss": float(number), "acc": 1.0 - number / 8})
            run.log({"loss": float(number) / 2})
    return rc.Workspace(ws_dir)


def test_groups_are_of_all_members(workspace: rc.Workspace) -> None:
    table = workspace.runs(limit=1).group_by("config.lr", of=["summary.loss", "max(loss)"])
    figures = ["mean", "sd", "min", "max", "n"]
    names = [f"{field}.{figure}" for field in ("summary.loss", "max(loss)") for figure in figures]
    assert table.columns == ["config.lr", "runs", *names]
    assert (table["config.lr"], table["runs"]) == ([0.5, 1, None], [4, 1, 1])
    assert table["summary.loss.mean"] == [0.75, 2.0, 2.5]
    assert table["max(loss).mean"] == [1.5, 4.0, 5.0]
    assert table["max(loss).sd"] == [pytest.approx(math.sqrt(5 / 3)), None, None]
    assert table["summary.loss.n"] == [4, 1, 1]
    frame = table.to_pandas()
    assert frame["max(loss).max"].tolist() == [3.0, 4.0, 5.0]
    assert table.to_arrow().column("runs").to_pylist() == [4, 1, 1]


def test_groups_take_the_filter_and_not_the_slice(workspace: rc.Workspace) -> None:
    chosen = workspace.runs(where="config.amp and min(loss) < 1.2", order_by="-max(acc),id")
    assert [run["id"] for run in chosen] == ["run0", "run1", "run2"]
    for table in (chosen, chosen[:1]):
        groups = table.group_by("config.amp,config.lr")
        assert groups["runs"] == [3]
        assert groups.columns[3:5] == ["summary.acc.mean", "summary.acc.sd"]


def test_wrong_fields_are_refused_with_their_column(workspace: rc.Workspace) -> None:
    table = workspace.runs()
    with pytest.raises(rc.QueryError) as raised:
        table.group_by("config.lr, lr")
    assert raised.value.column == 12
    with pytest.raises(rc.QueryError):
        table.group_by("config.lr", of="loss")
    with pytest.raises(rc.QueryError):
        workspace.runs(order_by="-median(loss)")


def test_a_table_of_runs_keeps_types_and_nesting(ws_dir: str) -> None:
    configs = [
        {"a": {"b": 1, "c": [1, None, {"k": 2.0}]}, "x": 1, "nan": math.nan, "none": None},
        {"a": {"b": 2}, "x": 1.5, "empty": {}},
        {"a": {"b": None}, "x": "text", "big": 2**53 + 1},
    ]
    for number, config in enumerate(configs):
        rc.init("p", dir=ws_dir, id=f"run{number}", config=config).finish()
    table = rc.Workspace(ws_dir).runs(order_by="id")
    assert table["config.a.b"] == [1, 2, None]
    assert table["config.x"] == [1, 1.5, "text"]
    assert table["config.a.c"] == [[1, None, {"k": 2.0}], None, None]
    assert table["config.empty"] == [None, {}, None]
    assert table["config.big"] == [None, None, 2**53 + 1]
    assert repr(table["config"]) == repr(configs)
    texts = table.to_arrow().column("config").to_pylist()
    assert texts[1] == '{"a":{"b":2},"x":1.5,"empty":{}}'
    assert table.to_arrow().schema.field("config.a.b").type == "int64"
