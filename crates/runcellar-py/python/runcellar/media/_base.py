"""What all media have in common."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Union

from runcellar import _runcellar
from runcellar._errors import InvalidArgumentError

Path = Union[str, "os.PathLike[str]"]

#: Formats that a path's ending may name, by kind.
FORMATS = {
    "image": ("png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "svg"),
    "audio": ("wav", "mp3", "flac", "ogg", "m4a", "opus"),
    "video": ("mp4", "webm", "gif", "ogv", "mov", "mkv", "avi"),
    "object3d": ("glb", "gltf", "obj", "stl", "ply", "json", "usdz"),
    "html": ("html", "htm"),
    "text": ("txt", "md"),
}


class Media:
    """Something to log that is no number; its subclasses say what."""

    __slots__ = ("_data",)

    _data: _runcellar.MediaData

    def _set(
        self,
        kind: str,
        format: str,
        content: _runcellar.MediaContent,
        metadata: Mapping[str, Any],
        *,
        companions: Sequence[tuple[str, _runcellar.MediaContent]] = (),
        parts: Sequence[_runcellar.MediaData] = (),
    ) -> None:
        said = {name: value for name, value in metadata.items() if value is not None}
        self._data = _runcellar.MediaData(
            kind, format, said, content, list(companions), list(parts)
        )

    def _runcellar_media(self) -> _runcellar.MediaData:
        return self._data

    @property
    def kind(self) -> str:
        """What it is: ``image``, ``audio`` and so on."""
        return self._data.kind

    @property
    def format(self) -> str:
        """The form of its bytes, as file names end."""
        return self._data.format

    @property
    def metadata(self) -> dict[str, Any]:
        """What is said of it; a copy."""
        said: dict[str, Any] = self._data.metadata
        return said

    @property
    def caption(self) -> str | None:
        """The caption, if it has one."""
        caption: str | None = self._data.metadata.get("caption")
        return caption

    def data(self) -> bytes:
        """Return its bytes as they will be stored."""
        return self._data.make()

    def __repr__(self) -> str:
        caption = "" if self.caption is None else f", {self.caption!r}"
        return f"<runcellar.{type(self).__name__}: {self.format or self.kind}{caption}>"


def of_path(kind: str, path: Path) -> tuple[str, _runcellar.MediaContent]:
    """Open a file of a kind; return its format and content."""
    text = os.fspath(path)
    ending = os.path.splitext(text)[1].lower().lstrip(".")
    if ending not in FORMATS[kind]:
        known = ", ".join(FORMATS[kind])
        raise InvalidArgumentError(f"{kind} {text!r}: its name ends in none of {known}")
    return ending, _runcellar.MediaContent.of_file(text)


def of_bytes(data: bytes) -> _runcellar.MediaContent:
    """Take bytes as they are."""
    return _runcellar.MediaContent.of_bytes(data)


def is_path(value: object) -> bool:
    """Tell whether something names a file."""
    return isinstance(value, (str, os.PathLike))


def checked_text(what: str, text: object) -> str | None:
    """Return a text, or None; refuse what cannot be stored as UTF-8."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{what}: a text is expected, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{what}: not Unicode (it has lone surrogates)") from error
    return text


def as_array(value: Any) -> tuple[Any, bool]:
    """Return an array of numpy, and whether it came from a tensor of torch."""
    import numpy as np

    is_torch = type(value).__module__.split(".")[0] == "torch"
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if is_torch and str(value.dtype) == "torch.bfloat16":
            value = value.float()
        value = value.numpy()
    return np.asarray(value), is_torch
