"""The stub says what the native module is, and the package types as its users write it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "crates" / "runcellar-py"

SAMPLE = """
import argparse
import os
from typing import Any

import numpy as np
import runcellar as rc
from typing_extensions import assert_type

with rc.init("p", config={"lr": 0.1}, tags=["a"], dir=os.fspath("w"), resume="allow") as run:
    assert_type(run, rc.Run)
    run.log({"loss": 0.5, "n": 1, "nested": {"t": "x"}}, step=np.int64(3), commit=True)
    run.define_metric("loss", summary=["min"], goal="minimize")
    run.config.lr = 0.2
    run.config["opt"] = {"name": "sgd"}
    run.summary["best"] = 1
    run.tags.add("b")
    run.tags = ["c"]
    run.name = "renamed"
    run.notes = None
    run.flush()
    run.finish(exit_code=0)
rc.init(config=argparse.Namespace(lr=1), mode="disabled", strict=True)
rc.log({"x": 1})
rc.config["x"] = 1
rc.summary["x"] = 1
if rc.run is not None:
    assert_type(rc.run.id, str)
rc.finish()

workspace = rc.Workspace("w", key_file=None)
table = workspace.runs(where="config.lr > 0", order_by="-created", limit=3)
assert_type(table, rc.RunTable)
assert_type(table[0], dict[str, Any])
assert_type(table["id"], list[Any])
assert_type(table[1:], rc.RunTable)
stored = workspace.run("abcd")
assert_type(stored, rc.StoredRun)
stored.name = "x"
stored.tags.add("y")
stored.tags = {"z"}
assert_type(stored.metrics()[0]["points"], int)
steps, values, times = stored.series("loss", points=100)
assert_type(stored.series("loss").sampled, bool)
for row in stored.history(keys=["loss"], steps=(0, 10)):
    assert_type(row, dict[str, Any])
assert_type(workspace.check(read_data=True).ok, bool)
"""

MISTAKES = """
import runcellar as rc

run = rc.init("p", "name")
run = rc.init(mode="nowhere")
run.log([1.0])
run.log({"x": 1}, None, True)
run.dir = "x"
rc.Workspace().run(5)
"""


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mypy", *arguments],
        cwd=PACKAGE,
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_stub_matches_the_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "runcellar._runcellar"],
        cwd=PACKAGE,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_strictly_typed() -> None:
    done = mypy("--strict", "python/runcellar", "build_backend.py")
    assert done.returncode == 0, done.stdout


def test_user_code_types_strictly(tmp_path: Path) -> None:
    path = tmp_path / "sample.py"
    path.write_text(SAMPLE, encoding="utf-8")
    done = mypy("--strict", str(path))
    assert done.returncode == 0, done.stdout


def test_mistakes_are_found(tmp_path: Path) -> None:
    path = tmp_path / "mistakes.py"
    path.write_text(MISTAKES, encoding="utf-8")
    done = mypy("--strict", str(path))
    count = len([line for line in MISTAKES.splitlines() if line and "import" not in line])
    assert f"Found {count} errors" in done.stdout, done.stdout


def test_the_example_types_strictly() -> None:
    done = mypy("--strict", str(ROOT / "examples" / "sklearn_digits.py"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_ruff_is_content(command: list[str]) -> None:
    folders = ["crates/runcellar-py", "tests/python", "examples"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, *folders],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
