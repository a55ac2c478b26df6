"""``python -m runcellar``: the command ``runcellar`` of this installation."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig


def command() -> str | None:
    """Return the path of the command: beside the interpreter, else on PATH.

    Returns
    -------
    str or None
        None if there is none.
    """
    return shutil.which("runcellar", path=sysconfig.get_path("scripts")) or shutil.which(
        "runcellar"
    )


def main() -> int:
    """Run the command in place of this process.

    Returns
    -------
    int
        Exit code, where the command could not be run.
    """
    path = command()
    if path is None:
        print(
            "runcellar: the command is not installed beside this interpreter and not on PATH; "
            "install the package from its wheel, or `cargo install runcellar-cli`",
            file=sys.stderr,
        )
        return 1
    os.execv(path, [path, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
