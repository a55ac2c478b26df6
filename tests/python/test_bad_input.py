"""Bad input: in the loop one warning and an exact count at the end, elsewhere a clear error."""

from __future__ import annotations

import decimal
import os
import pickle
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runcellar as rc

BAD_VALUES: list[Any] = [
    *(object(), b"bytes", 1j, [1, 2], (1,), {1}, decimal.Decimal("0.1"), len, int),
    *(np.arange(3), np.array([]), np.datetime64("2026-01-01"), 2**64 + 1, "\ud800"),
]


@contextmanager
def warned_once(match: str) -> Iterator[None]:
    """Assert that the block warns exactly once, by a RuncellarWarning at a line of this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [warning.category for warning in caught] == [rc.RuncellarWarning], caught
    assert re.search(match, str(caught[0].message)), caught[0].message
    assert caught[0].filename == __file__


def dropped_at_finish(run: rc.Run) -> int:
    """Finish a run and return the count that it says then; 0 if it says nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.finish()
    if not caught:
        return 0
    assert len(caught) == 1
    found = re.search(r"(\d+) values? (were|was) dropped", str(caught[0].message))
    assert found, caught[0].message
    return int(found[1])


@pytest.mark.parametrize("value", BAD_VALUES, ids=lambda value: type(value).__name__)
def test_a_value_that_cannot_be_stored_costs_itself_only(ws_dir: str, value: Any) -> None:
    run = rc.init(dir=ws_dir)
    with warned_once('"?x"?: |surrogate|past 64 bits'):
        for _ in range(3):
            run.log({"a": 1, "x": value, "b": 2})
    assert run.dropped == 3
    assert dropped_at_finish(run) == 3
    stored = rc.Workspace(ws_dir).run(run.id)
    assert stored.dropped == 3
    assert stored.history().columns == ["step", "time", "a", "b"]
    assert len(stored.history()) == 3


@pytest.mark.parametrize("key", [1, 2.5, None, ("a",), b"k", "\ud800"], ids=repr)
def test_a_key_that_cannot_be_stored_costs_its_value_only(ws_dir: str, key: Any) -> None:
    run = rc.init(dir=ws_dir)
    with warned_once("not str|surrogate"):
        for _ in range(2):
            run.log({"a": 1, key: 2.0})
            run.log({"nested": {key: 2.0, "b": 3}})
    assert dropped_at_finish(run) == 4
    assert rc.Workspace(ws_dir).run(run.id).summary == {"a": 1, "nested.b": 3}


@pytest.mark.parametrize(
    "step", [1.5, "5", float("nan"), float("inf"), 2**63, -(2**63) - 1, [1], object(), 1e300]
)
def test_a_step_that_is_no_integer_keeps_the_row(ws_dir: str, step: Any) -> None:
    run = rc.init(dir=ws_dir)
    run.log({"x": 0})
    with warned_once("step"):
        run.log({"x": 1}, step=step)
        run.log({"x": 2}, step)
    assert dropped_at_finish(run) == 2
    series = rc.Workspace(ws_dir).run(run.id).series("x")
    assert list(series.values) == [0, 1, 2]
    assert list(series.steps) == [0, 1, 2]


class Hostile(Mapping[str, float]):
    """A mapping, and a value, all of whose methods raise."""

    def __getitem__(self, key: str) -> float:
        raise RuntimeError("hostile")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("hostile")

    def __len__(self) -> int:
        raise RuntimeError("hostile")

    def __bool__(self) -> bool:
        raise RuntimeError("hostile")

    def __repr__(self) -> str:
        raise RuntimeError("hostile")

    @property
    def item(self) -> Any:
        raise RuntimeError("hostile")

    __index__ = __float__ = item
    __hash__ = object.__hash__


def test_objects_that_raise_do_not_break_the_loop(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    with warned_once("hostile"):
        run.log(Hostile())
        run.log({"x": Hostile(), "y": 1})
        run.log({"x": {"deep": Hostile()}, "y": 2}, step=Hostile())  # type: ignore[arg-type]
        run.log({Hostile(): 1, "y": 3}, commit=Hostile())  # type: ignore[dict-item,arg-type]
    assert dropped_at_finish(run) == 6
    assert rc.Workspace(ws_dir).run(run.id).history()["y"] == [1, 2, 3]


@pytest.mark.parametrize("data", [None, 5, "text", [("a", 1)], object()])
def test_a_row_that_is_no_dict_is_counted(ws_dir: str, data: Any) -> None:
    run = rc.init(dir=ws_dir)
    with warned_once("log\\(\\) takes a dict"):
        run.log(data)
    run.log({"x": 1})
    assert dropped_at_finish(run) == 1


@pytest.mark.parametrize(
    ("data", "step", "error"),
    [
        ({"x": object()}, None, TypeError),
        ({"x": b""}, None, TypeError),
        ({1: 1.0}, None, TypeError),
        ([1], None, TypeError),
        ({"x": np.arange(3)}, None, ValueError),
        ({"x": 2**64 + 1}, None, ValueError),
        ({"x": 1}, "5", TypeError),
        ({"x": 1}, 1.5, ValueError),
        ({"x": 1}, 2**63, ValueError),
    ],
)
def test_a_strict_run_raises_and_stores_nothing_of_the_row(
    ws_dir: str, data: Any, step: Any, error: type[Exception]
) -> None:
    run = rc.init(dir=ws_dir, strict=True)
    with pytest.raises(rc.Error) as raised:
        run.log(data, step)
    assert isinstance(raised.value, error)
    assert run.step == 0
    run.log({"y": 1})
    assert dropped_at_finish(run) == 0
    assert list(rc.Workspace(ws_dir).run(run.id).history()["step"]) == [0]


def test_deep_nesting_is_refused(ws_dir: str) -> None:
    deep: dict[str, Any] = {"x": 1}
    for _ in range(5000):
        deep = {"d": deep}
    run = rc.init(dir=ws_dir)
    with warned_once("nested deeper"):
        run.log(deep)
    with pytest.raises(ValueError, match=r"config\.d\.d.*nested deeper"):
        rc.init(dir=ws_dir, config=deep)
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    with pytest.raises(ValueError, match="nested deeper"):
        rc.init(dir=ws_dir, config=loop)


def test_a_text_that_is_too_long_is_counted(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    with warned_once("4 MiB"):
        run.log({"x": "y" * (5 << 20), "ok": 1})
        run.log({"k" * 5000: 1.0, "ok": 2})
    assert dropped_at_finish(run) == 2


def test_ctrl_c_inside_a_tensor_is_not_swallowed(ws_dir: str) -> None:
    class Slow:
        def item(self) -> float:
            raise KeyboardInterrupt

    run = rc.init(dir=ws_dir)
    with pytest.raises(KeyboardInterrupt):
        run.log({"x": Slow()})
    run.log({"x": 1})


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"model": object()}, TypeError, r"config\.model: a value of type object"),
        ({"a": {"b": [1, b"x"]}}, TypeError, r"config\.a\.b\[1\]: a value of type bytes"),
        ({("k",): 1}, TypeError, r"config: key \('k',\) is of type tuple"),
        ([1, 2], TypeError, "config: a dict is expected"),
        (5, TypeError, "config: a dict is expected"),
        ({"big": 2**64 + 1}, ValueError, r"config\.big: an integer past 64 bits"),
    ],
)
def test_a_config_that_cannot_be_stored_is_an_error(
    ws_dir: str, config: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(rc.Error, match=message) as raised:
        rc.init(dir=ws_dir, config=config)
    assert isinstance(raised.value, error)
    assert rc.run is None


def test_config_and_summary_of_a_live_run_warn_and_count(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir, config={"a": 1})
    with warned_once("config.bad: a value of type object"):
        run.config["bad"] = object()
        run.config.update({"nested": {"x": b""}})
        run.config["a"] = {"deep": object()}
        run.summary["bad"] = [1]
    assert run.config == {"a": 1}
    assert dropped_at_finish(run) == 4
    strict = rc.init(dir=ws_dir, strict=True)
    with pytest.raises(TypeError):
        strict.config["bad"] = object()
    with pytest.raises(TypeError):
        strict.summary["bad"] = object()


@pytest.mark.parametrize(
    "arguments",
    [{"id": "a/b"}, {"id": ""}, {"id": "x" * 129}, {"id": "a\nb"}, {"tags": [""]}],
)
def test_names_that_cannot_be_used(ws_dir: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"run id|tag"):
        rc.init(dir=ws_dir, **arguments)


def test_a_project_that_cannot_be_used(ws_dir: str) -> None:
    with pytest.raises(ValueError, match="project"):
        rc.init("a:b", dir=ws_dir)


def test_a_missing_workspace_is_not_made_by_reading(ws_dir: str) -> None:
    with pytest.raises(rc.NotFoundError) as raised:
        rc.Workspace(ws_dir)
    assert isinstance(raised.value, KeyError)
    assert str(raised.value) == f"no workspace at {ws_dir}"
    assert not os.path.exists(ws_dir)


def test_a_wrong_key_file_is_locked(ws_dir: str, tmp_path: Path) -> None:
    rc.init(dir=ws_dir).finish()
    other = tmp_path / "other.key"
    rc.init(dir=tmp_path / "other", key_file=other).finish()
    for key in (other, tmp_path / "missing.key"):
        with pytest.raises(rc.LockedError, match=key.name) as raised:
            rc.Workspace(ws_dir, key_file=key)
        assert isinstance(raised.value, PermissionError)
    (tmp_path / "noise.key").write_bytes(b"\0" * 300)
    with pytest.raises(rc.Error):
        rc.Workspace(ws_dir, key_file=tmp_path / "noise.key")


def test_a_damaged_keyslots_file_is_damage(ws_dir: str) -> None:
    rc.init(dir=ws_dir).finish()
    path = Path(ws_dir, "keyslots")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(rc.DamagedError) as raised:
        rc.Workspace(ws_dir)
    assert isinstance(raised.value, OSError)
    assert "keyslots" in str(raised.value) or "slot" in str(raised.value)


def test_a_missing_database_is_damage_and_never_a_fresh_start(ws_dir: str) -> None:
    rc.init(dir=ws_dir).finish()
    os.remove(Path(ws_dir, "cellar.db"))
    for attempt in (lambda: rc.Workspace(ws_dir), lambda: rc.init(dir=ws_dir)):
        with pytest.raises(rc.DamagedError, match=r"cellar\.db"):
            attempt()


def test_a_file_in_the_place_of_the_workspace(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("mine")
    with pytest.raises(rc.Error, match="file"):
        rc.init(dir=place)
    assert place.read_text() == "mine"


@pytest.mark.parametrize(
    ("where", "column"),
    [("config.lr >", 12), ("confg.lr > 1", 1), ("state = 'running", 9), ("(id = 'a'", 1)],
)
def test_a_filter_with_a_typo_points_at_the_column(ws_dir: str, where: str, column: int) -> None:
    rc.init(dir=ws_dir).finish()
    with pytest.raises(rc.QueryError) as raised:
        rc.Workspace(ws_dir).runs(where=where)
    assert isinstance(raised.value, ValueError)
    assert raised.value.column == column
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.column) == (str(raised.value), column)


def test_a_sort_key_with_a_typo_points_at_the_column(ws_dir: str) -> None:
    rc.init(dir=ws_dir).finish()
    with pytest.raises(rc.QueryError, match="creatd") as raised:
        rc.Workspace(ws_dir).runs(order_by="name,-creatd")
    assert raised.value.column == 6
    with pytest.raises(ValueError, match="limit"):
        rc.Workspace(ws_dir).runs(limit=-1)


def test_a_passphrase_in_the_environment_warns_once(ws_dir: str) -> None:
    script = """
        import os, warnings
        import runcellar as rc
        rc.init(dir=os.environ["W"]).finish()
        os.environ["RUNCELLAR_PASSPHRASE"] = "correct horse"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rc.Workspace(os.environ["W"])
            rc.Workspace(os.environ["W"])
        (warning,) = caught
        assert "RUNCELLAR_PASSPHRASE" in str(warning.message)
        assert "horse" not in str(warning.message)
    """
    import subprocess
    import sys
    import textwrap

    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True,
        env={**os.environ, "W": ws_dir},
    )


def test_a_descriptor_that_is_no_number(ws_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNCELLAR_KEY_FD", "three")
    with pytest.raises(ValueError, match="RUNCELLAR_KEY_FD: three"):
        rc.init(dir=ws_dir)


def test_errors_belong_to_one_tree() -> None:
    builtin = {
        **{"NotFoundError": KeyError, "LockedError": PermissionError, "DamagedError": OSError},
        **{"QueryError": ValueError, "BusyError": TimeoutError, "AmbiguousError": LookupError},
        **{"ConsentError": Exception, "EvictedError": FileNotFoundError},
    }
    for name, base in builtin.items():
        error = getattr(rc, name)
        assert issubclass(error, rc.Error)
        assert issubclass(error, base)
        assert error.__module__ == "runcellar"
        assert str(error("the message")) == "the message"
    assert issubclass(rc.RuncellarWarning, UserWarning)


def test_warnings_as_errors_raise_them(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(rc.RuncellarWarning):
            run.log({"x": object(), "y": 1})
        run.log({"x": object(), "y": 2})
    assert list(rc.Workspace(ws_dir).run(run.id).series("y").values) == [1, 2]


def test_a_workspace_that_vanishes_does_not_break_the_loop(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    run.log({"x": 1})
    shutil.rmtree(ws_dir)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for step in range(2000):
            run.log({"x": step})
        run.finish()
    assert any("was removed while a run was recorded" in str(one.message) for one in heard)
    assert run.dropped == 2001
