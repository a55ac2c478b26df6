"""What ``log`` does with steps, open rows, nesting and resumed runs."""

from __future__ import annotations

import collections
import types
from typing import Any

import numpy as np
import pytest
import runcellar as rc


def rows(ws_dir: str, run: rc.Run) -> list[dict[str, Any]]:
    """Return the history without times and without what is absent."""
    table = rc.Workspace(ws_dir).run(run.id).history()
    return [
        {key: value for key, value in row.items() if key != "time" and value is not None}
        for row in table
    ]


def test_rows_without_a_step_count_up(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        assert run.step == 0
        run.log({"x": 10})
        run.log({"x": 11})
        assert run.step == 2
    assert rows(ws_dir, run) == [{"step": 0, "x": 10}, {"step": 1, "x": 11}]


def test_an_empty_row_counts_too(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        run.log({})
        run.log({"x": 1})
    assert rows(ws_dir, run) == [{"step": 1, "x": 1}]


def test_a_row_at_a_step_stays_open_and_the_next_joins_it(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        run.log({"x": 1}, step=5)
        assert run.step == 5
        run.log({"y": 2})
        assert run.step == 6
        run.log({"x": 3})
    assert rows(ws_dir, run) == [{"step": 5, "x": 1, "y": 2}, {"step": 6, "x": 3}]


def test_commit_closes_a_row_or_holds_it_open(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        run.log({"x": 1}, commit=False)
        run.log({"y": 2}, commit=False)
        assert run.step == 0
        run.log({"z": 3}, commit=True)
        run.log({"x": 4}, step=9, commit=True)
        assert run.step == 10
        run.log({"x": 5}, commit=None)
    assert rows(ws_dir, run) == [
        {"step": 0, "x": 1, "y": 2, "z": 3},
        {"step": 9, "x": 4},
        {"step": 10, "x": 5},
    ]


def test_an_uncommitted_row_is_kept_at_once(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    run.log({"x": 1}, commit=False)
    assert rows(ws_dir, run) == [{"step": 0, "x": 1}]


def test_a_lower_step_is_stored_there_and_moves_nothing(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        run.log({"x": 1}, step=100)
        run.log({"x": 2}, step=-3)
        run.log({"x": 3}, step=50, commit=True)
        assert run.step == 100
    series = rc.Workspace(ws_dir).run(run.id).series("x")
    assert list(series.steps) == [-3, 50, 100]
    assert list(series.values) == [2, 3, 1]


def test_history_shows_the_last_written_and_series_all(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        for value in (1, 2, 3):
            run.log({"x": value}, step=7)
    stored = rc.Workspace(ws_dir).run(run.id)
    assert rows(ws_dir, run) == [{"step": 7, "x": 3}]
    steps, values, times = stored.series("x")
    assert list(steps) == [7, 7, 7]
    assert list(values) == [1, 2, 3]
    assert list(times) == sorted(times)


def test_the_order_of_keys_and_rows_of_different_shape(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        for step in range(100):
            run.log({"a": step, "b": -step})
            run.log({"b": step, "val": step / 2, "a": 0})
            run.log({f"dynamic-{step % 7}": step})
    stored = rc.Workspace(ws_dir).run(run.id)
    assert stored.history().columns[2:6] == ["a", "b", "val", "dynamic-0"]
    assert list(stored.series("b").values) == [n for step in range(100) for n in (-step, step)]
    assert list(stored.series("dynamic-3").values) == list(range(3, 100, 7))


def test_nested_dicts_become_dotted_keys(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        run.log({"train": {"loss": 1.5, "top": {"1": 0.5}}, "x": 1, "empty": {}})
    assert rows(ws_dir, run) == [{"step": 0, "train.loss": 1.5, "train.top.1": 0.5, "x": 1}]


def test_other_mappings_are_rows_too(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        run.log(collections.OrderedDict(x=1, y=2))
        run.log(types.MappingProxyType({"x": 3, "nested": collections.ChainMap({"y": 4})}))
    assert rows(ws_dir, run) == [
        {"step": 0, "x": 1, "y": 2},
        {"step": 1, "x": 3, "nested.y": 4},
    ]


@pytest.mark.parametrize("step", [5, 5.0, np.int64(5), np.int32(5), np.float32(5), np.array(5)])
def test_a_step_is_whatever_equals_an_integer(ws_dir: str, step: Any) -> None:
    with rc.init(dir=ws_dir, strict=True) as run:
        run.log({"x": 1}, step=step)
    assert rows(ws_dir, run) == [{"step": 5, "x": 1}]


def test_steps_reach_the_ends_of_64_bits(ws_dir: str) -> None:
    ends = [-(2**63), 2**63 - 1]
    with rc.init(dir=ws_dir, strict=True) as run:
        for step in ends:
            run.log({"x": 1}, step=step)
    assert list(rc.Workspace(ws_dir).run(run.id).series("x").steps) == ends


def test_commit_takes_any_truth_value(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        run.log({"x": 1}, commit=np.bool_(False))  # type: ignore[arg-type]
        run.log({"y": 1}, commit=1)  # type: ignore[arg-type]
        assert run.step == 1


@pytest.mark.parametrize("resume", ["allow", "must", True, "auto"])
def test_a_resumed_run_goes_on_after_its_last_step(ws_dir: str, resume: Any) -> None:
    with rc.init("p", dir=ws_dir, id="again", config={"lr": 1, "a": 2}) as run:
        run.log({"x": 1}, step=41)
    with rc.init("p", dir=ws_dir, id="again", resume=resume, config={"lr": 3}) as run:
        assert run.step == 42
        assert run.config == {"lr": 3, "a": 2}
        assert run.summary["x"] == 1
        run.log({"x": 2})
    stored = rc.Workspace(ws_dir).run("again")
    assert list(stored.series("x").steps) == [41, 42]
    assert stored.state == "finished"
    assert len(rc.Workspace(ws_dir).runs()) == 1


def test_resume_says_whether_the_run_must_be_there(ws_dir: str) -> None:
    with pytest.raises(rc.NotFoundError, match="missing"):
        rc.init(dir=ws_dir, id="missing", resume="must")
    rc.init(dir=ws_dir, id="there", resume="allow").finish()
    for refuse in (None, False, "never"):
        with pytest.raises(rc.ExistsError, match="run there"):
            rc.init(dir=ws_dir, id="there", resume=refuse)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="id"):
        rc.init(dir=ws_dir, resume="must")
    with pytest.raises(ValueError, match="resume 'perhaps'"):
        rc.init(dir=ws_dir, resume="perhaps")  # type: ignore[arg-type]
    assert len(rc.Workspace(ws_dir).runs()) == 1


def test_a_run_that_is_not_resumed_does_not_end_the_active_one(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir, id="one")
    with pytest.raises(ValueError, match="mode"):
        rc.init(dir=ws_dir, mode="bad")  # type: ignore[arg-type]
    assert rc.run is run
    run.log({"x": 1})


def test_many_metrics_and_rows_come_back(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        for step in range(5000):
            run.log({f"m{index}": step * index for index in range(10)})
    stored = rc.Workspace(ws_dir).run(run.id)
    for index in range(10):
        assert np.array_equal(stored.series(f"m{index}").values, np.arange(5000) * index)
    assert len(stored.history(keys=["m3", "m1"], steps=(10, 20))) == 10


def test_define_metric_decides_the_summary(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        run.define_metric("loss", step_metric="epoch", summary="min,mean", goal="minimize")
        run.define_metric("val/*", summary=["best"], goal="max", hidden=True)
        for value in (3.0, 1.0, 2.0):
            run.log({"loss": value, "val/acc": value, "plain": value})
        assert dict(run.summary) == {
            **{"loss.min": 1.0, "loss.mean": 2.0, "val/acc.best": 3.0, "plain": 2.0}
        }
    for arguments in ({"summary": "median"}, {"goal": "up"}):
        with pytest.raises(ValueError, match="metric loss"):
            run.define_metric("loss", **arguments)


def test_summary_is_read_and_written(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        run.log({"loss": 0.5})
        assert run.summary["loss"] == run.summary.loss == 0.5
        run.summary["best"] = 3
        run.summary.update({"a": {"b": 1.5}}, c="text")
        run.summary.flag = True
        assert run.summary == {"loss": 0.5, "best": 3, "a.b": 1.5, "c": "text", "flag": True}
        del run.summary["best"]
        assert "best" not in run.summary
        assert run.summary.get("best") is None
        with pytest.raises(KeyError):
            del run.summary["best"]
        with pytest.raises(AttributeError):
            run.summary.best  # noqa: B018
        run.summary["loss"] = 7
    assert rc.Workspace(ws_dir).run(run.id).summary["loss"] == 7


def test_config_is_a_dict_with_attributes_that_writes_through(ws_dir: str) -> None:
    start = {"lr": 0.1, "opt": {"name": "sgd", "betas": (0.9, 0.99)}, 5: None}
    run = rc.init(dir=ws_dir, config=start)
    config = run.config
    assert config == {"lr": 0.1, "opt": {"name": "sgd", "betas": [0.9, 0.99]}, "5": None}
    config.lr = 0.2
    config["opt"]["nested"] = {"deep": 1}
    config.opt.nested.deep = 2
    config.opt.update(name="adam", eps=np.float32(0.5))
    config.update({"items": [1, 2]}, extra={"x": 1})
    config |= {"more": True}
    assert config.setdefault("lr", 9) == 0.2
    assert config.setdefault("fresh", 9) == 9
    assert config.pop("fresh") == 9
    assert config.pop("fresh", None) is None
    del config["5"]
    del config.opt["betas"]
    with pytest.raises(AttributeError):
        config.items = 1
    with pytest.raises(AttributeError):
        config.absent  # noqa: B018
    expected = {
        **{"lr": 0.2, "opt": {"name": "adam", "nested": {"deep": 2}, "eps": 0.5}},
        **{"items": [1, 2], "extra": {"x": 1}, "more": True},
    }
    assert config == config.copy() == expected
    assert type(config.copy()["opt"]) is dict
    assert rc.Workspace(ws_dir).run(run.id).config == expected
    config.clear()
    run.finish()
    assert rc.Workspace(ws_dir).run(run.id).config == {}


def test_keys_of_a_config_that_become_one(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir, config={1: "a", "1": "b", "x": {2: 1, "2": 2, "y": 3}})
    assert run.config == {"1": "b", "x": {"2": 2, "y": 3}}
    assert rc.Workspace(ws_dir).run(run.id).config == run.config


def test_config_takes_namespaces_and_dataclasses(ws_dir: str) -> None:
    import argparse
    import dataclasses
    from pathlib import Path

    @dataclasses.dataclass
    class Inner:
        size: int = 3

    @dataclasses.dataclass
    class Options:
        lr: float = 0.5
        inner: Inner = dataclasses.field(default_factory=Inner)

    run = rc.init(dir=ws_dir, config=argparse.Namespace(lr=1, path=Path("a/b"), none=None))
    assert run.config == {"lr": 1, "path": "a/b", "none": None}
    run = rc.init(dir=ws_dir, config=Options())
    assert run.config == {"lr": 0.5, "inner": {"size": 3}}
    arrays = {"a": np.arange(3), "s": {1}, "x": np.float64(2.5), "b": np.bool_(True)}
    run = rc.init(dir=ws_dir, config=arrays)
    assert run.config == {"a": [0, 1, 2], "s": [1], "x": 2.5, "b": True}
