"""Media: what can be logged beside numbers, and how it comes back.

Everything here is copied when the object is made; `run.log` hands it to a thread of the store,
which encodes, seals and stores it behind the training loop. No package of pictures or plots is
imported before it is needed.

>>> run.log({"samples": [rc.Image(pixels, caption="a cat"), rc.Image(other)]})  # doctest: +SKIP
>>> Workspace().run(run.id).series("samples").values[0][0].to_numpy()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

from runcellar import _runcellar
from runcellar.media._base import Media
from runcellar.media._figures import Figure, Plotly
from runcellar.media._files import Audio, Html, Object3D, Text, Video
from runcellar.media._image import Image
from runcellar.media._stored import StoredMedia, stored
from runcellar.media._table import Table

__all__ = [
    "Audio",
    "Figure",
    "Html",
    "Image",
    "Media",
    "Object3D",
    "Plotly",
    "StoredMedia",
    "Table",
    "Text",
    "Video",
]

_stored = stored


def _of_foreign(value: Any) -> _runcellar.MediaData | None:
    """Make media of an object of another package; None if that is not known."""
    root = type(value).__module__.split(".")[0]
    if root == "PIL" and hasattr(value, "mode"):
        return Image(value)._runcellar_media()
    if root == "matplotlib":
        figure = value if hasattr(value, "savefig") else getattr(value, "figure", None)
        return None if figure is None else Figure(figure)._runcellar_media()
    if root == "plotly" and hasattr(value, "to_plotly_json"):
        return Plotly(value)._runcellar_media()
    if root == "pandas" and hasattr(value, "itertuples"):
        return Table(dataframe=value)._runcellar_media()
    return None
