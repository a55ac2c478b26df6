"""Media of stored runs."""

from __future__ import annotations

import io
import json
import os
from typing import Any

from runcellar import _runcellar
from runcellar._errors import InvalidArgumentError
from runcellar.media._base import Path
from runcellar.media._table import cell_back


class StoredMedia:
    """A media file of a stored run; its bytes are read when they are asked for."""

    __slots__ = ("_entry",)

    def __init__(self, entry: _runcellar.MediaEntry) -> None:
        self._entry = entry

    @property
    def id(self) -> str:
        """Its id: media of equal content, of which the same is said, have one."""
        return self._entry.id

    @property
    def kind(self) -> str:
        """What it is: ``image``, ``audio`` and so on."""
        return self._entry.kind

    @property
    def format(self) -> str:
        """The form of its bytes, as file names end."""
        return self._entry.format

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self._entry.size

    @property
    def metadata(self) -> dict[str, Any]:
        """What is said of it; a copy."""
        said: dict[str, Any] = self._entry.metadata
        return said

    @property
    def caption(self) -> str | None:
        """The caption; None if it has none."""
        return self.metadata.get("caption")

    @property
    def companions(self) -> list[str]:
        """Names of files beside it, such as ``static.png``."""
        return self._entry.companions

    @property
    def parts(self) -> list[StoredMedia | list[Any]]:
        """The media that it is made of: masks of an image, media in cells of a table."""
        return [stored(part) for part in self._entry.parts]

    @property
    def masks(self) -> dict[str, StoredMedia]:
        """The masks of an image, by name."""
        parts = self._entry.parts
        masks = self.metadata.get("masks", {})
        return {name: StoredMedia(parts[mask["part"]]) for name, mask in masks.items()}

    def data(self, companion: str | None = None) -> bytes:
        """Read its bytes, or those of a file beside it."""
        return self._entry.read(companion)

    def text(self) -> str:
        """Read it as UTF-8 text."""
        return self.data().decode()

    def save(self, path: Path, *, overwrite: bool = False) -> str:
        """Write its bytes to a file, or into a folder under its id; return the path."""
        target = os.fspath(path)
        if os.path.isdir(target):
            target = os.path.join(target, f"{self.id}.{self.format or 'bin'}")
        data = self.data()
        with open(target, "wb" if overwrite else "xb") as file:
            file.write(data)
        return target

    def to_pil(self) -> Any:
        """Decode an image with Pillow, whose own limit on pixels holds."""
        from PIL import Image

        data = self.data("static.png") if self.kind == "figure" else self.data()
        return Image.open(io.BytesIO(data))

    def to_numpy(self) -> Any:
        """Return the pixels of an image, or the samples of a WAV, as an array."""
        import numpy as np

        if self.kind == "audio":
            import wave

            with wave.open(io.BytesIO(self.data())) as file:
                frames = file.readframes(file.getnframes())
                samples = np.frombuffer(frames, "<i2").reshape(-1, file.getnchannels())
            return samples[:, 0] if samples.shape[1] == 1 else samples
        if self.kind == "object3d" and self.format == "json":
            return np.asarray(json.loads(self.data())["points"])
        return np.asarray(self.to_pil())

    def to_rows(self) -> tuple[list[str], list[list[Any]]]:
        """Return columns and rows of a table."""
        if self.kind != "table":
            raise InvalidArgumentError(f"media {self.id}: a {self.kind}, not a table")
        table, parts = json.loads(self.data()), self.parts
        return table["columns"], [[cell_back(cell, parts) for cell in row] for row in table["rows"]]

    def to_pandas(self) -> Any:
        """Return a table as a DataFrame."""
        import pandas as pd

        columns, rows = self.to_rows()
        return pd.DataFrame(rows, columns=columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredMedia) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        try:
            caption = "" if self.caption is None else f", {self.caption!r}"
            return f"<runcellar.StoredMedia: {self.kind} {self.format}, {self.size} bytes{caption}>"
        except Exception:
            return f"<runcellar.StoredMedia: {self.id}, gone>"


def stored(entry: _runcellar.MediaEntry) -> StoredMedia | list[Any]:
    """Wrap an entry; a panel is the list of its media."""
    try:
        is_panel = entry.kind == "panel"
    except Exception:
        is_panel = False
    return [stored(part) for part in entry.parts] if is_panel else StoredMedia(entry)
