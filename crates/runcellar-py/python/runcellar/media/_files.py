"""Sound, films, texts, pages and solid things."""

from __future__ import annotations

import io
import json
import wave
from typing import Any

from runcellar._errors import InvalidArgumentError
from runcellar.media._base import (
    Media,
    Path,
    as_array,
    checked_text,
    is_path,
    of_bytes,
    of_path,
)


class Audio(Media):
    """Sound.

    Parameters
    ----------
    data : array_like or path
        Samples of shape (n,) or (n, channels): ``int16`` as they are, floats from -1 to 1. A file
        is kept as it is.
    sample_rate : int, optional
        Samples a second; needed for an array.
    caption : str, optional
        Text below it.
    """

    __slots__ = ()

    def __init__(
        self, data: Any, sample_rate: int | None = None, caption: str | None = None
    ) -> None:
        metadata: dict[str, Any] = {"caption": checked_text("caption", caption)}
        if is_path(data):
            format, content = of_path("audio", data)
        else:
            if not isinstance(sample_rate, int) or sample_rate <= 0:
                raise InvalidArgumentError("audio: sample_rate is expected with an array")
            samples = _samples(data)
            out = io.BytesIO()
            with wave.open(out, "wb") as file:
                file.setnchannels(samples.shape[1])
                file.setsampwidth(2)
                file.setframerate(sample_rate)
                file.writeframes(samples.astype("<i2").tobytes())
            format, content = "wav", of_bytes(out.getvalue())
            metadata["duration"] = len(samples) / sample_rate
        metadata["sample_rate"] = sample_rate
        self._set("audio", format, content, metadata)


def _samples(data: Any) -> Any:
    import numpy as np

    array, _ = as_array(data)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.size == 0 or not 1 <= array.shape[1] <= 64:
        raise InvalidArgumentError(f"audio of shape {array.shape}: (n,) or (n, channels)")
    if array.dtype == np.int16:
        return array
    if array.dtype.kind != "f":
        raise InvalidArgumentError(f"audio of type {array.dtype}: int16 or floats are expected")
    return (np.nan_to_num(array).clip(-1, 1) * 32767).round().astype(np.int16)


class Video(Media):
    """A film.

    Parameters
    ----------
    data : path or array_like
        A file, which is kept as it is, or frames of shape (t, c, h, w) and type ``uint8`` with 1 or
        3 channels, which become a GIF (PIL is needed).
    caption : str, optional
        Text below it.
    fps : int, optional
        Frames a second of an array.
    """

    __slots__ = ()

    def __init__(self, data: Any, caption: str | None = None, *, fps: int = 4) -> None:
        metadata: dict[str, Any] = {"caption": checked_text("caption", caption)}
        if is_path(data):
            format, content = of_path("video", data)
        else:
            frames = _frames(data)
            if not isinstance(fps, int) or not 1 <= fps <= 50:
                raise InvalidArgumentError("video: fps from 1 to 50 is expected")
            out = io.BytesIO()
            frames[0].save(
                out,
                format="GIF",
                save_all=True,
                append_images=frames[1:],
                duration=1000 // fps,
                loop=0,
            )
            format, content = "gif", of_bytes(out.getvalue())
            metadata.update(fps=fps, frames=len(frames))
            metadata.update(height=frames[0].height, width=frames[0].width)
        self._set("video", format, content, metadata)


def _frames(data: Any) -> list[Any]:
    import numpy as np

    array, _ = as_array(data)
    if array.ndim != 4 or 0 in array.shape or array.shape[1] not in (1, 3):
        raise InvalidArgumentError(f"video of shape {array.shape}: (t, c, h, w), c of 1 or 3")
    if array.dtype != np.uint8:
        raise InvalidArgumentError(f"video of type {array.dtype}: uint8 is expected")
    try:
        from PIL import Image
    except ImportError as error:
        raise InvalidArgumentError("video of an array needs Pillow; or pass a file") from error
    pixels = array.transpose(0, 2, 3, 1)
    pixels = pixels[..., 0] if pixels.shape[3] == 1 else pixels
    return [Image.fromarray(np.ascontiguousarray(frame)) for frame in pixels]


class Text(Media):
    """A text that is too long for a value, or a file of it.

    Parameters
    ----------
    text : str or os.PathLike
        The text, or the path of a file of it as a ``pathlib.Path``.
    caption : str, optional
        Text below it.
    """

    __slots__ = ()

    def __init__(self, text: Any, caption: str | None = None) -> None:
        said = {"caption": checked_text("caption", caption)}
        if isinstance(text, str):
            checked_text("text", text)
            self._set("text", "txt", of_bytes(text.encode()), said)
        else:
            self._set("text", *of_path("text", text), said)


class Html(Media):
    """A page of HTML.

    Parameters
    ----------
    html : str, file-like or os.PathLike
        The page, something with ``read()``, or the path of a file as a ``pathlib.Path``.
    caption : str, optional
        Text below it.
    """

    __slots__ = ()

    def __init__(self, html: Any, caption: str | None = None) -> None:
        said = {"caption": checked_text("caption", caption)}
        if hasattr(html, "read"):
            html = html.read()
        if isinstance(html, bytes):
            self._set("html", "html", of_bytes(html), said)
        elif isinstance(html, str):
            checked_text("html", html)
            self._set("html", "html", of_bytes(html.encode()), said)
        else:
            self._set("html", *of_path("html", html), said)


class Object3D(Media):
    """A solid thing, or a cloud of points.

    Parameters
    ----------
    data : path or array_like
        A file (glb, gltf, obj, stl, ply), kept as it is, or points of shape (n, 3), (n, 4) with a
        class, or (n, 6) with a color.
    caption : str, optional
        Text below it.
    """

    __slots__ = ()

    def __init__(self, data: Path | Any, caption: str | None = None) -> None:
        said: dict[str, Any] = {"caption": checked_text("caption", caption)}
        if is_path(data):
            self._set("object3d", *of_path("object3d", data), said)
            return
        import numpy as np

        array, _ = as_array(data)
        if array.ndim != 2 or array.shape[1] not in (3, 4, 6) or array.dtype.kind not in "iuf":
            raise InvalidArgumentError(f"points of shape {array.shape}: (n, 3), (n, 4) or (n, 6)")
        if not np.isfinite(array).all():
            raise InvalidArgumentError("points: some are NaN or infinite")
        said["points"] = len(array)
        content = json.dumps({"points": array.tolist()}, allow_nan=False).encode()
        self._set("object3d", "json", of_bytes(content), said)
