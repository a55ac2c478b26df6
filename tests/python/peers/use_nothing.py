"""No program at all: what the interpreter and the rows cost by themselves."""

from __future__ import annotations

import sys
from pathlib import Path

import work


def start(directory: Path, name: str) -> object:
    return len


def finish() -> None:
    pass


if __name__ == "__main__":
    work.main(sys.modules[__name__])
