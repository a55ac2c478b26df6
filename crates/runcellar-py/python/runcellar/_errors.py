"""Exceptions and warnings; the native module raises them by name."""

from __future__ import annotations

import sys
import warnings


class Error(Exception):
    """Base of all errors of runcellar."""


class InvalidArgumentError(Error, ValueError):
    """An argument has a value that cannot be used."""


class UnsupportedTypeError(Error, TypeError):
    """An argument or a logged value has a type that cannot be used."""


class NotFoundError(Error, KeyError):
    """A workspace, run, metric, column or file is not there."""

    # KeyError shows its argument's repr, as keys are short; a message is not.
    __str__ = Exception.__str__


class AmbiguousError(Error, LookupError):
    """A name or prefix means several runs."""


class ExistsError(Error, FileExistsError):
    """The thing is there already."""


class LockedError(Error, PermissionError):
    """No key at hand opens the workspace, or it belongs to somebody else."""


class DamagedError(Error, OSError):
    """Bytes were changed, moved, lost or replaced by older ones."""


class NewerFormatError(Error):
    """A later version of runcellar wrote it."""


class QueryError(Error, ValueError):
    """A filter or sort key is not understood.

    Attributes
    ----------
    column : int or None
        Where in the text it stops being understood, counted from 1.
    """

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.column = column

    def __reduce__(self) -> tuple[type[QueryError], tuple[str, int | None]]:
        return (type(self), (str(self), self.column))


class BusyError(Error, TimeoutError):
    """Another process holds the database for too long; trying again can help."""


class ConsentError(Error):
    """Something would leave this machine without a consent to it."""


class EvictedError(Error, FileNotFoundError):
    """What is read lies on a remote alone, and the command could not bring it here."""


class StateError(Error, RuntimeError):
    """The run is finished, or none was started."""


class NoActiveRunError(StateError, AttributeError):
    """A module-level name that stands for the active run is used without one."""


class StorageError(Error, OSError):
    """The place cannot be written, has no space left, or fails."""


class RuncellarWarning(UserWarning):
    """Something that the store goes on from: values dropped, a disk that fails."""


def warn(text: str) -> None:
    """Warn as at the line that called into this package.

    Parameters
    ----------
    text : str
        The warning.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == "runcellar":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RuncellarWarning, stacklevel=level)


for _class in list(globals().values()):
    if isinstance(_class, type) and issubclass(_class, (Error, RuncellarWarning)):
        _class.__module__ = "runcellar"
