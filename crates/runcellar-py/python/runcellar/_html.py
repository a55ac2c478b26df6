"""Texts and values as static HTML that shows them and does nothing else.

Every text of a user is escaped, isolated from the direction of the text around it, and free of
characters that act instead of showing. Colours are the page's own at several strengths.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Iterable
from typing import Any

#: Characters of one text that are shown.
TEXT_MAX = 60

FRAME = "font:13px/1.45 system-ui,sans-serif;color:inherit;max-width:100%;overflow-x:auto"
TABLE = "border-collapse:collapse;margin:.4em 0;font-variant-numeric:tabular-nums"
HEAD = "padding:2px 12px 2px 0;font-weight:600;white-space:nowrap;border-bottom:1px solid"
CELL = "padding:2px 12px 2px 0;white-space:nowrap;vertical-align:top"
DIM = "opacity:.6"


def text(value: str, limit: int = TEXT_MAX) -> str:
    """Return `value` as HTML that shows it and does nothing else.

    Parameters
    ----------
    value : str
        Any text.
    limit : int, optional
        Characters that are shown of it.

    Returns
    -------
    str
        Escaped for content and for attributes; controls, surrogates and marks of direction are
        U+FFFD, and line ends a space.
    """
    cut = value if len(value) <= limit else value[: limit - 1].rstrip() + "\u2026"
    shown = "".join(map(_visible, cut))
    return html.escape(shown)


def _visible(letter: str) -> str:
    if letter in "\n\t\r":
        return " "
    # Cc controls, Cf formats (of which joiners are letters of some scripts), Cs lone surrogates.
    kind = unicodedata.category(letter)
    acts = kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and letter not in "\u200c\u200d")
    return "\ufffd" if acts else letter


def value_html(value: Any) -> str:
    """Return one value as HTML."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return text(str(value))
    if isinstance(value, str):
        return f"<bdi>{text(value)}</bdi>"
    if isinstance(value, (list, tuple)):
        return f"<bdi>{text(', '.join(map(str, value[:TEXT_MAX])))}</bdi>"
    strftime = getattr(value, "strftime", None)
    if strftime is not None:
        return text(strftime("%Y-%m-%d %H:%M:%S"))
    return f"<bdi>{text(str(value))}</bdi>"


def number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "\u221e" if value > 0 else "-\u221e"
    return f"{value:.5g}"


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours == 0:
        return f"{minutes} min {int(seconds % 60)} s"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def counted(count: int, one: str) -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def page(*parts: str) -> str:
    return f'<div style="{FRAME}">{"".join(parts)}</div>'


def heading(name: str, facts: Iterable[str]) -> str:
    """Return a bold name (HTML) followed by dim facts (HTML)."""
    joined = " \u00b7 ".join(filter(None, facts))
    return f'<div><b>{name}</b> <span style="{DIM}">{joined}</span></div>'


def aside(note: str) -> str:
    return f'<div style="{DIM}">{note}</div>' if note else ""
