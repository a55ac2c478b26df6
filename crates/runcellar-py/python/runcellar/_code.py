"""What of the code a run keeps: what was said, what a notebook has run, which files are chosen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from runcellar._errors import InvalidArgumentError

_WORDS = ("none", "diff", "untracked", "main")
_SWITCHES = {
    **dict.fromkeys(("on", "true", "yes", "1"), "main"),
    **dict.fromkeys(("off", "false", "no", "0"), "none"),
}


def what_to_save(given: bool | str | os.PathLike[str] | None) -> str | None:
    """Return a word or an existing path; None if neither argument nor variable says anything."""
    said: bool | str | os.PathLike[str] | None = given
    source = "save_code"
    if said is None:
        source = "RUNCELLAR_SAVE_CODE"
        said = os.environ.get(source, "").strip() or None
    if said is None:
        return None
    if isinstance(said, bool):
        return "main" if said else "none"
    text = os.fspath(said)
    if isinstance(said, str):
        word = _SWITCHES.get(text.lower(), text)
        if word in _WORDS:
            return word
    if not os.path.exists(text):
        words = ", ".join(map(repr, _WORDS))
        raise InvalidArgumentError(f"{source}={text!r}: one of {words} or a path is expected")
    return os.path.abspath(text)


def cells() -> list[str]:
    """Return what the cells of a notebook, or the lines at its prompt, have run so far."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    notebook = None if shell is None else shell()
    if notebook is None:
        return []
    history = notebook.user_ns.get("In", [])
    return [cell for cell in history if isinstance(cell, str) and cell.strip()]


def is_chosen(choose: Callable[..., bool], root: str, path: os.PathLike[str]) -> bool:
    """Ask a function that takes the path of a file, or that and the directory."""
    place = os.path.join(root, path)
    code = getattr(choose, "__code__", None)
    takes_root = code is not None and code.co_argcount - hasattr(choose, "__self__") >= 2
    return bool(choose(place, root) if takes_root else choose(place))
