"""Figures of plotting packages: as they are, with a picture beside."""

from __future__ import annotations

import importlib.util
import io
from typing import Any

from runcellar._errors import InvalidArgumentError
from runcellar.media._base import Media, checked_text, of_bytes


class Figure(Media):
    """A figure of matplotlib, as SVG with a PNG beside it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure; it may be changed or closed afterwards.
    caption : str, optional
        Text below it.
    """

    __slots__ = ()

    def __init__(self, figure: Any, caption: str | None = None) -> None:
        if not hasattr(figure, "savefig"):
            raise InvalidArgumentError("figure: one of matplotlib is expected")
        files = {}
        for format in ("svg", "png"):
            out = io.BytesIO()
            # Without a date, equal figures are equal files.
            metadata = {"Date": None} if format == "svg" else None
            figure.savefig(out, format=format, metadata=metadata)
            files[format] = of_bytes(out.getvalue())
        said = {"caption": checked_text("caption", caption)}
        self._set("figure", "svg", files["svg"], said, companions=[("static.png", files["png"])])


class Plotly(Media):
    """A figure of plotly as its JSON, with a PNG beside it where kaleido is there.

    Parameters
    ----------
    figure : plotly figure
        The figure.
    caption : str, optional
        Text below it.
    """

    __slots__ = ()

    def __init__(self, figure: Any, caption: str | None = None) -> None:
        if not hasattr(figure, "to_json"):
            raise InvalidArgumentError("plotly: a figure with to_json() is expected")
        companions = []
        try:
            if importlib.util.find_spec("kaleido"):
                companions.append(("static.png", of_bytes(figure.to_image(format="png"))))
        except Exception:
            pass
        said = {"caption": checked_text("caption", caption)}
        content = of_bytes(figure.to_json().encode())
        self._set("plotly", "json", content, said, companions=companions)
