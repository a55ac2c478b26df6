"""Artifacts that are put together: files, folders, bytes and references."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Literal

from runcellar import _runcellar
from runcellar._errors import InvalidArgumentError

#: Bytes that `Artifact.new_file` takes. They stay in memory, since a temporary file would hold
#: them in clear; what is larger is better written to a file of one's own and added.
NEW_FILE_BYTES_MAX = 256 << 20


class Artifact(_runcellar.Draft):
    r"""A version of an artifact, to be given to `Run.log_artifact`.

    Nothing is read or stored before that; then content that is there already is not stored again.

    Parameters
    ----------
    name : str
        Its name, 1 to 128 bytes, without ``/ \ : # ?``.
    type : str, optional
        What sort of thing it is, such as ``"dataset"`` or ``"model"``.
    description : str, optional
        Description of this version.
    metadata : mapping, optional
        What is to be known of this version; nested.

    Raises
    ------
    InvalidArgumentError, UnsupportedTypeError
        For a name or metadata that cannot be used.

    Examples
    --------
    >>> model = rc.Artifact("digits-cnn", type="model", metadata={"acc": 0.99})  # doctest: +SKIP
    >>> model.add_file("model.pt")  # doctest: +SKIP
    >>> run.log_artifact(model, aliases=["best"])  # doctest: +SKIP
    """

    def add_file(
        self, path: str | os.PathLike[str], name: str | None = None, *, follow_links: bool = False
    ) -> None:
        """Add a file.

        Parameters
        ----------
        path : path
            The file. It is read when the artifact is logged.
        name : str, optional
            Its path in the artifact, which may hold slashes; by default its own name.
        follow_links : bool
            Whether what a symbolic link leads to is taken, instead of the link.

        Raises
        ------
        StorageError
            If it is not there or cannot be read.
        ExistsError
            If something stands at that path already.
        """
        self._add_file(os.fspath(path), name, follow_links)

    def add_dir(
        self, path: str | os.PathLike[str], name: str | None = None, *, follow_links: bool = False
    ) -> None:
        """Add what is below a folder, by paths relative to it.

        Symbolic links are kept as links, dangling ones too; sockets, FIFOs, devices, and folders
        that are a workspace are passed over, and `skipped` lists them.

        Parameters
        ----------
        path : path
            The folder. Its files are read when the artifact is logged.
        name : str, optional
            A folder in the artifact to put them below.
        follow_links : bool
            Whether what symbolic links lead to is taken, instead of the links.

        Raises
        ------
        StorageError
            If something cannot be read; the message names it.
        ExistsError
            If something stands at one of the paths already.
        """
        self._add_dir(os.fspath(path), name, follow_links)

    def add_reference(
        self,
        uri: str,
        name: str | None = None,
        *,
        size: int | None = None,
        digest: str | None = None,
    ) -> None:
        """Add something that lies elsewhere; it is never fetched.

        Parameters
        ----------
        uri : str
            Where it lies.
        name : str, optional
            Its path in the artifact; by default the last part of the URI.
        size : int, optional
            Its bytes, if known.
        digest : str, optional
            Its digest, if known, in whatever form.

        Raises
        ------
        InvalidArgumentError
            If it is no URI, or none that a name can be made of.
        ExistsError
            If something stands at that path already.
        """
        if name is None:
            name = uri.split("?")[0].split("#")[0].rstrip("/").rpartition("/")[2]
            if not name:
                raise InvalidArgumentError(f"reference {uri!r}: a name is needed")
        self._add_reference(uri, name, size, digest)

    @contextmanager
    def new_file(
        self, name: str, mode: Literal["w", "wb"] = "w", *, encoding: str = "utf-8"
    ) -> Iterator[IO[Any]]:
        """Write a file of the artifact.

        The bytes stay in memory; the file is in the artifact when the block ends without an
        exception.

        Parameters
        ----------
        name : str
            Its path in the artifact.
        mode : {"w", "wb"}
            Text or bytes.
        encoding : str
            Encoding of the text.

        Yields
        ------
        file object
            To be written to.

        Raises
        ------
        InvalidArgumentError
            For another mode, or more than 256 MiB: add a file of your own then.
        ExistsError
            If something stands at that path already.

        Examples
        --------
        >>> with model.new_file("labels.txt") as file:  # doctest: +SKIP
        ...     file.write("cat")
        """
        if mode not in ("w", "wb"):
            raise InvalidArgumentError(f"mode {mode!r}: 'w' or 'wb' is expected")
        buffer = _Buffer(name)
        if mode == "wb":
            yield buffer
        else:
            text = io.TextIOWrapper(buffer, encoding=encoding, newline="")
            yield text
            text.flush()
            text.detach()
        self._add_bytes(name, buffer.getvalue())


class _Buffer(io.BytesIO):
    """Bytes in memory, up to a limit."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def write(self, data: Any, /) -> int:
        if self.tell() + memoryview(data).nbytes > NEW_FILE_BYTES_MAX:
            raise InvalidArgumentError(
                f"{self._name}: new_file takes {NEW_FILE_BYTES_MAX} bytes; add_file takes any"
            )
        return super().write(data)


Artifact.__module__ = "runcellar"


def draft_of(
    artifact: Artifact | str | os.PathLike[str],
    name: str | None,
    type: str | None,
    description: str | None,
    metadata: Mapping[str, Any] | None,
) -> Artifact:
    """Return an artifact as it is, or the one of a file or folder."""
    if isinstance(artifact, Artifact):
        if any(given is not None for given in (name, type, description, metadata)):
            raise InvalidArgumentError(
                "log_artifact: name, type, description and metadata go with a path"
            )
        return artifact
    path = os.fspath(artifact)
    named = name or os.path.basename(os.path.abspath(path))
    made = Artifact(named, type, description, metadata)
    if os.path.isdir(path):
        made.add_dir(path)
    else:
        made.add_file(path)
    return made


def alias_list(aliases: str | Iterable[str] | None) -> list[str]:
    """Return aliases as a list; a text is one."""
    if aliases is None:
        return []
    return [aliases] if isinstance(aliases, str) else list(aliases)
