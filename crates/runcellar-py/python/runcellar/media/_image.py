"""Images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from runcellar import _runcellar
from runcellar._errors import InvalidArgumentError
from runcellar.media._base import Media, as_array, checked_text, is_path, of_bytes, of_path

#: How PIL names the formats that an unmodified picture is kept in.
_PIL_FORMATS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp", "BMP": "bmp"}


class Image(Media):
    """An image with what is said of it.

    Parameters
    ----------
    data : array_like, PIL.Image, matplotlib figure or path
        Pixels of shape (h, w), (h, w, c) or, of a torch tensor, (c, h, w), with 1 to 4 channels
        (gray, gray and alpha, RGB, RGBA). ``uint8`` and ``uint16`` are kept exactly, ``bool``
        becomes black and white. Floats that all lie from 0 to 1 are multiplied by 255, those from
        -1 to 1 stretched to 0 to 255, and others are taken as they are; all are rounded and cut to
        0 to 255, and NaN is 0. Other integers are cut to 0 to 255. A file is kept as it is.
    caption : str, optional
        Text below the image.
    boxes : dict or list, optional
        Boxes around things, kept as they are.
    masks : dict, optional
        For each name an array of class numbers of the image's size, or a dict with ``mask_data``
        and ``class_labels``.
    """

    __slots__ = ()

    def __init__(
        self,
        data: Any,
        caption: str | None = None,
        *,
        boxes: Mapping[str, Any] | Sequence[Any] | None = None,
        masks: Mapping[str, Any] | None = None,
    ) -> None:
        format, content, size = _content(data)
        metadata: dict[str, Any] = {"caption": checked_text("caption", caption), "boxes": boxes}
        if size is not None:
            metadata["height"], metadata["width"] = size
        parts: list[_runcellar.MediaData] = []
        if masks:
            metadata["masks"] = {}
            for name, mask in masks.items():
                said = dict(mask) if isinstance(mask, Mapping) else {"mask_data": mask}
                pixels = said.pop("mask_data", None)
                if pixels is None:
                    raise InvalidArgumentError(f"mask {name!r}: mask_data is missing")
                labels = {str(key): text for key, text in said.pop("class_labels", {}).items()}
                metadata["masks"][name] = {"part": len(parts), "class_labels": labels, **said}
                parts.append(_mask(name, pixels)._runcellar_media())
        self._set("image", format, content, metadata, parts=parts)


def _mask(name: str, pixels: Any) -> Image:
    import numpy as np

    array, _ = as_array(pixels)
    if array.ndim != 2:
        raise InvalidArgumentError(f"mask {name!r} of shape {array.shape}: (h, w) is expected")
    if array.dtype.kind in "iu" and array.size and array.min() >= 0 and array.max() <= 0xFFFF:
        return Image(array.astype(np.uint8 if array.max() <= 255 else np.uint16))
    if array.dtype.kind != "b":
        raise InvalidArgumentError(f"mask {name!r}: class numbers from 0 to 65535 are expected")
    return Image(array)


def _content(data: Any) -> tuple[str, _runcellar.MediaContent, tuple[int, int] | None]:
    """Return format, content, and height and width if they are known."""
    size: tuple[int, ...] = data.shape if type(data).__name__ == "ndarray" else ()
    is_plain = len(size) == 2 or (len(size) == 3 and size[2] <= 4)
    if is_plain and data.dtype.char == "B" and data.flags.c_contiguous:
        # What a training loop logs: nothing more is to be asked.
        return "png", _runcellar.MediaContent.of_pixels(data, False), (size[0], size[1])
    if is_path(data):
        return (*of_path("image", data), None)
    root = type(data).__module__.split(".")[0]
    if root == "matplotlib":
        figure = data if hasattr(data, "savefig") else data.figure
        out = io.BytesIO()
        figure.savefig(out, format="png")
        return "png", of_bytes(out.getvalue()), None
    if root == "PIL":
        return _of_pil(data)
    array, is_torch = as_array(data)
    return _of_array(array, is_torch)


def _of_pil(picture: Any) -> tuple[str, _runcellar.MediaContent, tuple[int, int] | None]:
    size = (picture.height, picture.width)
    format = _PIL_FORMATS.get(picture.format or "")
    path = getattr(picture, "filename", "")
    # A picture that is not loaded is as its file is: nobody has drawn on it.
    core = vars(picture).get("_im", vars(picture).get("im", picture))
    if format and path and core is None:
        try:
            return format, _runcellar.MediaContent.of_file(path), size
        except Exception:
            pass
    if picture.mode not in ("1", "L", "LA", "RGB", "RGBA", "I;16"):
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    array, _ = as_array(picture)
    return _of_array(array, False)


def _of_array(
    array: Any, planar: bool
) -> tuple[str, _runcellar.MediaContent, tuple[int, int] | None]:
    import numpy as np

    if array.ndim == 3 and array.shape[0] == 1 and not planar and array.shape[2] > 4:
        # One channel first, as models return masks.
        planar = True
    planar = planar and array.ndim == 3
    kind = array.dtype.kind
    if kind not in "biuf":
        raise InvalidArgumentError(f"pixels of type {array.dtype}: numbers are expected")
    if kind in "iu" and array.dtype not in (np.uint8, np.uint16):
        array = array.clip(0, 255).astype(np.uint8)
    elif kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    content = _runcellar.MediaContent.of_pixels(np.ascontiguousarray(array), planar)
    size = array.shape[1:3] if planar else array.shape[0:2]
    return "png", content, (int(size[0]), int(size[1]))
