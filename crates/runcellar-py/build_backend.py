"""PEP 517 backend: builds the command ``runcellar`` into the wheel; maturin does the rest.

The command stands in ``wheel-data/scripts`` while maturin works, which packs what is there as
scripts. maturin called by itself builds the same wheel without the command.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import maturin
from maturin import build_sdist as build_sdist
from maturin import get_requires_for_build_editable as get_requires_for_build_editable
from maturin import get_requires_for_build_sdist as get_requires_for_build_sdist
from maturin import get_requires_for_build_wheel as get_requires_for_build_wheel
from maturin import prepare_metadata_for_build_editable as prepare_metadata_for_build_editable
from maturin import prepare_metadata_for_build_wheel as prepare_metadata_for_build_wheel

HERE = Path(__file__).resolve().parent
COMMAND = "runcellar.exe" if os.name == "nt" else "runcellar"


@contextmanager
def command() -> Iterator[None]:
    """Build the command and hold it where maturin packs it.

    It is taken away again: a later bare call of maturin would pack an old one. A source
    distribution holds the extension's crates only, so there the wheel comes without it.
    """
    scripts = HERE / "wheel-data" / "scripts"
    if not (HERE.parent / "runcellar-cli" / "Cargo.toml").is_file():
        print("runcellar-cli is not beside this crate: no command in the wheel", file=sys.stderr)
        yield
        return
    cargo = ["cargo", "build", "--release", "--package", "runcellar-cli", "--bin", "runcellar"]
    built = subprocess.run(
        [*cargo, "--message-format", "json-render-diagnostics"],
        cwd=HERE.parent.parent,
        check=True,
        stdout=subprocess.PIPE,
    )
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith(b"{")]
    found = [message["executable"] for message in messages if message.get("executable")]
    scripts.mkdir(parents=True, exist_ok=True)
    shutil.copy2(found[-1], scripts / COMMAND)
    try:
        yield
    finally:
        shutil.rmtree(scripts)


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build a wheel with the command in it.

    Parameters
    ----------
    wheel_directory : str
        Where the wheel goes.
    config_settings : dict, optional
        Passed on to maturin.
    metadata_directory : str, optional
        Passed on to maturin.

    Returns
    -------
    str
        File name of the wheel.
    """
    with command():
        name: str = maturin.build_wheel(wheel_directory, config_settings, metadata_directory)
    return name


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build an editable wheel with the command in it.

    Parameters
    ----------
    wheel_directory : str
        Where the wheel goes.
    config_settings : dict, optional
        Passed on to maturin.
    metadata_directory : str, optional
        Passed on to maturin.

    Returns
    -------
    str
        File name of the wheel.
    """
    with command():
        name: str = maturin.build_editable(wheel_directory, config_settings, metadata_directory)
    return name
