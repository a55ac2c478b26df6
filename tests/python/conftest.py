"""Fixtures: every test has a home, a configuration directory and a workspace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import runcellar as rc

PREFIXES = ("RUNCELLAR_", "XDG_", "SLURM_", "TORCHELASTIC_")


class Script(Protocol):
    """Runs Python source in a process of its own."""

    def __call__(self, source: str, *args: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)
    # What the surroundings record is the matter of test_capture.py alone.
    monkeypatch.setenv("RUNCELLAR_SYSTEM", "off")
    monkeypatch.setenv("RUNCELLAR_CONSOLE", "off")
    monkeypatch.setenv("RUNCELLAR_SOURCE", "off")
    home = tmp_path / "home"
    home.mkdir()
    # Tests that build with cargo need its home, which lies below the real one by default.
    for name, place in (("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")):
        monkeypatch.setenv(name, os.environ.get(name) or str(Path.home() / place))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    yield
    rc.finish()


@pytest.fixture
def ws_dir(tmp_path: Path) -> str:
    """Path of a workspace that is not there yet."""
    return str(tmp_path / "cellar")


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Run Python source as a main script; warnings go to its standard error."""

    def run(source: str, *args: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "main_script.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return subprocess.run(
            [sys.executable, str(path), *args],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
