"""Histograms are logged, kept and read back equal."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
import runcellar as rc


def test_values_are_counted_as_numpy_counts_them() -> None:
    values = np.random.default_rng(7).normal(size=(40, 50)).astype(np.float32)
    made = rc.Histogram(values, num_bins=20)
    counts, edges = np.histogram(values.astype(np.float64), bins=20)
    assert np.allclose(made.edges, edges, rtol=1e-12, atol=1e-12)
    assert made.counts.tolist() == counts.tolist()
    assert len(made) == 20
    assert len(rc.Histogram([1, 2, 3])) == 64
    assert rc.Histogram([np.nan, 1.0, np.inf], num_bins=1).counts.tolist() == [1.0]
    assert repr(made).startswith("<runcellar.Histogram: 20 bins from -3.")


def test_histograms_come_back_equal(ws_dir: str) -> None:
    made = [rc.Histogram(np_histogram=np.histogram([1, 2, 2, 3 + i], bins=8)) for i in range(5)]
    with rc.init(dir=ws_dir, strict=True) as run:
        for one in made:
            run.log({"weights": one, "nested": {"grads": one}, "loss": 0.5})
    stored = rc.Workspace(ws_dir).run(run.id)
    for key in ("weights", "nested.grads"):
        series = stored.series(key)
        assert series.values.dtype == object
        assert list(series.values) == made
    assert stored.series("weights").values[4].edges.tolist() == made[4].edges.tolist()
    assert dict(stored.summary) == {"loss": 0.5}
    row = stored.history()[0]
    assert row["weights"] == {"edges": made[0].edges.tolist(), "counts": made[0].counts.tolist()}
    text = stored.history().to_arrow()["weights"][0].as_py()
    assert json.loads(text) == row["weights"]
    assert "weights" in stored._repr_html_()
    assert "Histogram" in stored.series("weights")._repr_html_()


def test_histograms_compare_and_pickle() -> None:
    one = rc.Histogram(np_histogram=([1, 2.5], [0.0, 1.0, 2.0]))
    assert one == pickle.loads(pickle.dumps(one))
    assert one != rc.Histogram(np_histogram=([1, 2.0], [0.0, 1.0, 2.0]))


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"sequence": [1], "np_histogram": ([1], [0, 1])},
        {"sequence": []},
        {"sequence": [np.nan]},
        {"sequence": [1], "num_bins": 0},
        {"sequence": [1], "num_bins": 4097},
        {"np_histogram": ([1], [0, 1, 2])},
        {"np_histogram": ([-1], [0, 1])},
        {"np_histogram": ([1], [1, 0])},
        {"np_histogram": ([np.nan], [0, 1])},
    ],
)
def test_what_is_no_histogram_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(rc.InvalidArgumentError, match=r"histogram|expected"):
        rc.Histogram(**bad)


def test_texts_are_no_histogram() -> None:
    with pytest.raises(ValueError, match="float"):
        rc.Histogram(["a"])
