"""Values and keys come back exactly, bit by bit."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
import runcellar as rc


def logged(ws_dir: str, values: list[Any]) -> rc.Series:
    """Log values under one key and read the series."""
    with rc.init(dir=ws_dir, strict=True) as run:
        for value in values:
            run.log({"x": value})
    return rc.Workspace(ws_dir).run(run.id).series("x")


def bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def test_floats_keep_all_64_bits(ws_dir: str) -> None:
    patterns = np.array(
        [
            *(0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001, 0x7FFDEADBEEF12345),
            *(0x7FF0000000000000, 0xFFF0000000000000, 0x8000000000000000, 0x0000000000000001),
            *(0x3FB999999999999A, 0x7FEFFFFFFFFFFFFF, 0x4340000000000001),
        ],
        dtype=np.uint64,
    )
    values = [struct.unpack("<d", struct.pack("<Q", int(pattern)))[0] for pattern in patterns]
    series = logged(ws_dir, values)
    assert series.values.dtype == np.float64
    assert series.values.view(np.uint64).tolist() == patterns.tolist()


def test_integers_are_exact_past_what_floats_hold(ws_dir: str) -> None:
    values = [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 0]
    series = logged(ws_dir, values)
    assert series.values.dtype == np.int64
    assert series.values.tolist() == values


def test_integers_past_64_bits_become_the_float_that_equals_them(ws_dir: str) -> None:
    series = logged(ws_dir, [2**64, 2**100, -(2**70)])
    assert series.values.dtype == np.float64
    assert series.values.tolist() == [2.0**64, 2.0**100, -(2.0**70)]


def test_truth_values_and_texts_have_their_types(ws_dir: str) -> None:
    flags = logged(ws_dir, [True, False, True])
    assert flags.values.dtype == np.bool_
    assert flags.values.tolist() == [True, False, True]
    texts = logged(ws_dir, ["", "a\0b", "\u00e9\U0001f600", "x" * 100_000])
    assert texts.values.dtype == object
    assert texts.values.tolist() == ["", "a\0b", "\u00e9\U0001f600", "x" * 100_000]


def test_numbers_of_several_kinds_become_float_only_if_exact(ws_dir: str) -> None:
    exact = logged(ws_dir, [1, 0.5, 2])
    assert exact.values.dtype == np.float64
    assert exact.values.tolist() == [1.0, 0.5, 2.0]
    mixed = logged(ws_dir, [2**53 + 1, 0.5, "text", True])
    assert mixed.values.dtype == object
    assert mixed.values.tolist() == [2**53 + 1, 0.5, "text", True]


def test_float32_is_widened_without_a_change(ws_dir: str) -> None:
    values = np.array([0.1, 1e-45, 3.4e38, -0.0, np.inf, np.nan], dtype=np.float32)
    series = logged(ws_dir, list(values))
    assert np.array_equal(series.values, values.astype(np.float64), equal_nan=True)
    assert bits(float(series.values[3])) == bits(-0.0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(0.1), 0.1),
        (np.float16(0.5), 0.5),
        (np.int8(-3), -3),
        (np.uint64(2**63), float(2**63)),
        (np.bool_(True), True),
        (np.array(2.5), 2.5),
        (np.array([7]), 7),
        (np.array([[True]]), True),
        (np.str_("text"), "text"),
    ],
)
def test_numpy_scalars_and_arrays_of_one_element(ws_dir: str, value: Any, expected: Any) -> None:
    found = logged(ws_dir, [value]).values.tolist()
    assert found == [expected]
    assert type(found[0]) is type(expected)


class Tensor:
    """Looks like a tensor: everything but ``item`` is of no use."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        if isinstance(self.value, list):
            raise RuntimeError(f"a Tensor with {len(self.value)} elements cannot be a Scalar")
        return self.value


def test_tensors_are_read_through_item(ws_dir: str) -> None:
    assert logged(ws_dir, [Tensor(1.5), Tensor(2), 3.5]).values.tolist() == [1.5, 2.0, 3.5]


def test_subclasses_of_numbers_and_texts(ws_dir: str) -> None:
    import enum

    class Level(enum.IntEnum):
        HIGH = 3

    class Text(str):
        __slots__ = ()

    assert logged(ws_dir, [Level.HIGH]).values.tolist() == [3]
    assert logged(ws_dir, [Text("t")]).values.tolist() == ["t"]
    with rc.init(dir=ws_dir, strict=True) as run:
        run.log({Text("key"): Level.HIGH})
    assert rc.Workspace(ws_dir).run(run.id).summary == {"key": 3}


def test_none_is_left_out_and_not_counted(ws_dir: str) -> None:
    with rc.init(dir=ws_dir, strict=True) as run:
        run.log({"x": None, "y": 1})
        run.log({"x": None, "text": "slow way"})
        assert run.dropped == 0
    assert rc.Workspace(ws_dir).run(run.id).summary == {"y": 1, "text": "slow way"}


@pytest.mark.parametrize(
    "key",
    [
        *("train/loss", "a.b.c", "..", "/", "\u00fcber/\u6df1\u3044.\U0001f600", " ", "", "a\nb"),
        *("x" * 4096, "quote\"'`", "e\u0301", "\u00e9", "__proto__", "summary.x"),
    ],
)
def test_keys_may_be_any_text(ws_dir: str, key: str) -> None:
    with rc.init(dir=ws_dir, strict=True) as run:
        run.log({key: 1.5})
        run.log({key: 2.5, "other": "slow way"})
    stored = rc.Workspace(ws_dir).run(run.id)
    assert stored.series(key).values.tolist() == [1.5, 2.5]
    assert key in stored.history().columns
    assert stored.summary[key] == 2.5


def test_config_values_are_exact(ws_dir: str) -> None:
    config = {
        **{"big": 2**53 + 1, "neg": -0.0, "nan": math.nan, "inf": -math.inf, "one": 1, "f": 1.0},
        **{"t": True, "none": None, "empty": {}, "list": [], "deep": [[{"a": [1, "\u00e9"]}]]},
    }
    with rc.init(dir=ws_dir, config=config) as run:
        pass
    found = rc.Workspace(ws_dir).run(run.id).config
    assert repr(found) == repr(config)


def test_arrays_are_writable_and_of_one_length(ws_dir: str) -> None:
    series = logged(ws_dir, [1.0, 2.0])
    assert len(series) == 2
    assert series.sampled is False
    for array in series:
        assert array.shape == (2,)
        array[0] = 0
    assert series.steps.dtype == series.times.dtype == np.int64


def test_times_are_microseconds_since_1970(ws_dir: str) -> None:
    import time

    before = time.time_ns() // 1000
    series = logged(ws_dir, list(range(1000)))
    after = time.time_ns() // 1000
    assert before - 1000 <= series.times[0] <= series.times[-1] <= after + 1000
    assert (np.diff(series.times) >= 0).all()


def test_a_sampled_series_keeps_the_extremes(ws_dir: str) -> None:
    values = [float(step % 10) for step in range(5000)]
    values[3210] = 1e9
    with rc.init(dir=ws_dir) as run:
        for value in values:
            run.log({"x": value})
    stored = rc.Workspace(ws_dir).run(run.id)
    sampled = stored.series("x", points=100)
    assert sampled.sampled is True
    assert len(sampled) <= 100
    assert sampled.values.max() == 1e9
    assert sampled.steps[-1] == 4999
    with pytest.raises(rc.NotFoundError, match='no metric "y"'):
        stored.series("y")
    with pytest.raises(ValueError, match="points"):
        stored.series("x", points=0)
