"""What notebooks show: static HTML in which nothing of a user's acts, bounded in size."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import runcellar as rc

EVIL = "<script>alert(1)</script>\"'&\u202e\u0000\u2028\x1b[2J"
HEBREW = "\u05e9\u05dc\u05d5\u05dd"
ALLOWED = {
    *("div", "b", "span", "bdi", "table", "tr", "td", "th"),
    *("svg", "path", "g", "text"),
}
ATTRIBUTES = {
    *("style", "colspan", "width", "height", "viewbox", "role", "aria-label", "d", "fill"),
    *("stroke", "stroke-width", "stroke-linecap", "stroke-linejoin", "transform", "opacity"),
    *("x", "y", "text-anchor", "font-size"),
}


class Page(HTMLParser):
    """Reads a page as a browser would and keeps its texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.labels: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED
        assert {name for name, _ in attributes} <= ATTRIBUTES
        self.labels += [value or "" for name, value in attributes if name == "aria-label"]
        for name, value in attributes:
            assert name == "aria-label" or "url(" not in (value or "")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def shown(thing: Any) -> Page:
    """Return the page of a thing, after what every page must be."""
    html = thing._repr_html_()
    assert all(letter not in html for letter in "\0\x1b\u202e\u2028")
    assert "http" not in html
    # Well-formed as XML too, so no parser can read it in two ways.
    ElementTree.fromstring(html)
    return Page(html)


@pytest.fixture
def evil(ws_dir: str) -> rc.Run:
    """A run all of whose texts try to act."""
    tame = "".join(letter for letter in EVIL if letter.isprintable())
    run = rc.init(
        tame.replace("/", ""), dir=ws_dir, name=EVIL, tags=[tame], notes=EVIL, group=EVIL, id="evil"
    )
    run.config[EVIL] = {EVIL: EVIL, "list": [EVIL]}
    run.summary[EVIL] = EVIL
    for step in range(30):
        run.log({f"a{EVIL}": step * 0.5, "t": EVIL, HEBREW: -step})
    return run


def test_texts_of_users_are_shown_and_do_nothing(evil: rc.Run, ws_dir: str) -> None:
    workspace = rc.Workspace(ws_dir)
    stored = workspace.run("evil")
    things = [
        evil,
        stored,
        workspace,
        workspace.runs(),
        stored.history(),
        stored.series("t"),
        stored.series(f"a{EVIL}"),
    ]
    for thing in things[:-1]:
        page = shown(thing)
        assert "<script>alert(1)</script>\"'&\ufffd\ufffd\ufffd\ufffd" in page.text
    assert "30 points" in shown(things[-1]).text
    assert any("<script>" in label for label in shown(stored).labels)
    assert f"<bdi>{HEBREW}</bdi>" in stored.history()._repr_html_()


def test_a_series_is_a_chart_with_its_ranges(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        for step in range(20_000):
            run.log({"x": 1e6 if step == 12_345 else math.sin(step)}, step=step - 7)
    series = rc.Workspace(ws_dir).run(run.id).series("x")
    page = shown(series)
    for mark in ("1e+06", "-1", "-7", "step 19992", "20,000 points"):
        assert mark in page.text
    html = series._repr_html_()
    assert html.count("<svg") == 1
    # The spike reaches the top of the chart, and the size does not follow the points.
    assert any(end in html for end in (" 0.0L", "L296.3 0.0"))
    assert len(html) < 20_000


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        ([], "0 points"),
        ([1.5], "1.5"),
        ([2.0] * 5, "2"),
        ([math.nan] * 3, "NaN"),
        ([math.nan, 1.0, math.inf, 2.0], "NaN or infinite: 2"),
        ([-1e308, 1e308, 5e-324], "1e+308"),
    ],
)
def test_odd_series_are_shown(values: list[float], mark: str) -> None:
    steps = np.arange(len(values), dtype=np.int64)
    page = shown(rc.Series(steps, np.array(values, dtype=np.float64), steps, False))
    assert mark in page.text


def test_steps_at_the_ends_of_int64_are_shown() -> None:
    steps = np.array([-(2**63), 0, 2**63 - 1], dtype=np.int64)
    page = shown(rc.Series(steps, np.array([1, 2, 3], dtype=np.int64), steps, True))
    assert str(-(2**63)) in page.text
    assert f"step {2**63 - 1}" in page.text
    assert "sampled" in page.text


def test_rows_and_columns_are_cut_with_a_count(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        for step in range(5000):
            run.log({f"metric-{index:03}": step + index for index in range(100)})
    stored = rc.Workspace(ws_dir).run(run.id)
    html = stored.history()._repr_html_()
    page = shown(stored.history())
    assert "5,000 rows" in page.text
    assert "102 columns" in page.text
    assert "86 columns not shown" in page.text
    assert len(html) < 45_000
    assert html.count("<svg") == 14
    assert "80 metrics not shown" in shown(stored).text
    assert len(stored._repr_html_()) < 60_000


def test_many_runs_are_cut_with_a_count(ws_dir: str) -> None:
    long = "x" * 100_000
    for index in range(25):
        config = {"lr": index, "same": 1, "long": long, **{f"k{n}": index for n in range(60)}}
        rc.init("p", dir=ws_dir, config=config, notes=long, name=f"run {index}").finish()
    workspace = rc.Workspace(ws_dir)
    page = shown(workspace.runs())
    assert "5 runs not shown" in page.text
    assert "run 24" in page.text
    assert "config.lr" in page.text
    assert "config.same" in page.text.split("not shown:")[1]
    assert len(workspace.runs()._repr_html_()) < 100_000
    assert len(workspace.run("run 3")._repr_html_()) < 30_000


def test_nothing_is_shown_as_nothing(ws_dir: str) -> None:
    rc.init(dir=ws_dir).finish()
    workspace = rc.Workspace(ws_dir)
    empty = workspace.runs(project="none")
    assert "0 runs" in shown(empty).text
    assert "0 rows" in shown(workspace.run(workspace.runs()["id"][0]).history()).text
    assert "records nothing" in shown(rc.init(mode="disabled")).text


def test_a_column_keeps_its_shape(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        for value in (1.0, math.nan, None, 4.0, math.inf, -2.0):
            run.log({"x": value, "t": "text", "b": True})
    table = rc.Workspace(ws_dir).run(run.id).history()
    sketch = table._sketch("x", 64)
    assert [place for place, _, _ in sketch] == [0.0, 0.2, 0.6, 0.8, 1.0]
    assert repr([least for _, least, _ in sketch]) == "[1.0, nan, 4.0, nan, -2.0]"
    assert table._sketch("x", 2)[1] == (0.8, -2.0, 4.0)
    assert table._sketch("t", 8) == []
    assert table._sketch("b", 1) == [(0.5, 1.0, 1.0)]
    assert table._sketch("x", 0) == []
    with pytest.raises(rc.NotFoundError):
        table._sketch("missing", 8)


def test_reprs_are_short_and_say_what_it_is(ws_dir: str) -> None:
    with rc.init("p", dir=ws_dir, name="n", id="abcd") as run:
        run.log({"x": 1.0})
        run.log({"x": 2.0})
    stored = rc.Workspace(ws_dir).run("abcd")
    series = "<runcellar.Series: 2 points of float64, steps 0 to 1>"
    assert repr(stored.series("x")) == series
    assert repr(stored) == "<runcellar.StoredRun abcd (p/n, finished)>"
    assert repr(run) == "<runcellar.Run abcd (p/n)>"
    assert repr(rc.Workspace(ws_dir).runs()).startswith("<runcellar.RunTable: 1 rows")


def test_showing_loads_nothing_heavy(ws_dir: str) -> None:
    script = f"""
import sys
for name in ("numpy", "pandas", "pyarrow", "polars", "IPython"):
    sys.modules[name] = None
import runcellar as rc
with rc.init(dir={ws_dir!r}, config={{"a": 1}}) as run:
    run.log({{"x": 1.5}})
    run._repr_html_()
workspace = rc.Workspace({ws_dir!r})
assert "finished" in workspace._repr_html_()
assert "1.5" in workspace.run(run.id).history()._repr_html_()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_to_polars_keeps_null_and_nan_apart(ws_dir: str) -> None:
    polars = importlib.import_module("polars")
    with rc.init("p", dir=ws_dir, config={"lr": 0.1}, tags=["a"]) as run:
        run.log({"f": 0.5, "i": 2**53 + 1, "t": "one"})
        run.log({"f": math.nan})
        run.log({"i": 3, "b": True})
    workspace = rc.Workspace(ws_dir)
    table = workspace.run(run.id).history()
    frame = table.to_polars()
    assert isinstance(frame, polars.DataFrame)
    assert frame.columns == table.columns
    assert repr(frame["f"].to_list()) == repr([0.5, math.nan, None])
    assert frame["i"].to_list() == [2**53 + 1, None, 3]
    assert frame["t"].to_list() == ["one", None, None]
    assert frame["time"].dtype == polars.Datetime("us", "UTC")
    assert table[:0].to_polars().shape == (0, len(table.columns))
    runs = workspace.runs().to_polars()
    assert runs["config.lr"].to_list() == [0.1]
    assert runs["tags"].to_list() == [["a"]]


@pytest.mark.parametrize("package", ["polars", "pyarrow", "pandas"])
def test_a_package_that_is_not_there_is_named(ws_dir: str, tmp_path: Path, package: str) -> None:
    method = {"polars": "to_polars", "pyarrow": "to_arrow", "pandas": "to_pandas"}[package]
    script = f"""
import sys
sys.modules[{package!r}] = None
import runcellar as rc
rc.init(dir={ws_dir!r}).finish()
try:
    rc.Workspace({ws_dir!r}).runs().{method}()
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.startswith(f"{method}() needs {package}, which cannot be imported")
    assert done.stdout.rstrip().endswith(f"pip install {package}")
