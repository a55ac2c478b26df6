"""runcellar: an encrypted, local-first store for machine-learning runs.

>>> import runcellar as rc
>>> with rc.init("digits", config={"lr": 0.1}) as run:  # doctest: +SKIP
...     for step in range(100):
...         run.log({"loss": 1 / (step + 1)})
>>> rc.Workspace().run(run.id).series("loss")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runcellar import _run, media, plot
from runcellar._artifact import Artifact
from runcellar._console import Console
from runcellar._errors import (
    AmbiguousError,
    BusyError,
    ConsentError,
    DamagedError,
    Error,
    EvictedError,
    ExistsError,
    InvalidArgumentError,
    LockedError,
    NewerFormatError,
    NoActiveRunError,
    NotFoundError,
    QueryError,
    RuncellarWarning,
    StateError,
    StorageError,
    UnsupportedTypeError,
)
from runcellar._fields import Config, Summary, Tags
from runcellar._report import CheckReport
from runcellar._run import Run
from runcellar._runcellar import (
    Histogram,
    RunTable,
    StoredArtifact,
    StoredRun,
    Workspace,
    __version__,
    restore_from,
)
from runcellar._series import Series
from runcellar._session import init
from runcellar.media import (
    Audio,
    Figure,
    Html,
    Image,
    Media,
    Object3D,
    Plotly,
    StoredMedia,
    Table,
    Text,
    Video,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    config: Config
    run: Run | None
    summary: Summary

# `run`, `config` and `summary` stand for the active run: `import *` could not bind them.
__all__ = [
    "AmbiguousError",
    "Artifact",
    "Audio",
    "BusyError",
    "CheckReport",
    "Config",
    "ConsentError",
    "Console",
    "DamagedError",
    "Error",
    "EvictedError",
    "ExistsError",
    "Figure",
    "Histogram",
    "Html",
    "Image",
    "InvalidArgumentError",
    "LockedError",
    "Media",
    "NewerFormatError",
    "NoActiveRunError",
    "NotFoundError",
    "Object3D",
    "Plotly",
    "QueryError",
    "Run",
    "RunTable",
    "RuncellarWarning",
    "Series",
    "StateError",
    "StorageError",
    "StoredArtifact",
    "StoredMedia",
    "StoredRun",
    "Summary",
    "Table",
    "Tags",
    "Text",
    "UnsupportedTypeError",
    "Video",
    "Workspace",
    "__version__",
    "define_metric",
    "finish",
    "init",
    "log",
    "log_artifact",
    "media",
    "plot",
    "restore_from",
    "use_artifact",
]


def __getattr__(name: str) -> Any:
    """Return what stands for the active run: it changes, so it cannot be a plain name."""
    if name == "run":
        return _run.active
    if name in ("config", "summary"):
        return getattr(_run.require(), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def log(data: Mapping[str, Any], step: int | None = None, *, commit: bool | None = None) -> None:
    """Log one row to the active run; see `Run.log`.

    Parameters
    ----------
    data : mapping of str to value
        Values by metric.
    step : int, optional
        The row's step.
    commit : bool, optional
        Whether the row is closed.

    Raises
    ------
    NoActiveRunError
        If no run is active.
    """
    _run.require().log(data, step, commit=commit)


def log_artifact(
    artifact: Artifact | str | os.PathLike[str],
    aliases: str | Iterable[str] | None = None,
    *,
    name: str | None = None,
    type: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    compress: bool = False,
) -> StoredArtifact:
    """Store a version of an artifact, as made by the active run; see `Run.log_artifact`.

    Parameters
    ----------
    artifact : Artifact or path
        What to store.
    aliases : str or iterable of str, optional
        Names for the version.
    name, type, description, metadata : optional
        With a path: what is said of the version.
    compress : bool
        Whether more time is spent on making it smaller.

    Returns
    -------
    StoredArtifact
        The version that has the content.

    Raises
    ------
    NoActiveRunError
        If no run is active.
    """
    return _run.require().log_artifact(
        artifact,
        aliases,
        name=name,
        type=type,
        description=description,
        metadata=metadata,
        compress=compress,
    )


def use_artifact(name: str) -> StoredArtifact:
    """Find a version of an artifact, as used by the active run; see `Run.use_artifact`.

    Parameters
    ----------
    name : str
        ``"name"``, ``"name:v3"`` or ``"name:alias"``, with or without ``"project/"`` in front.

    Returns
    -------
    StoredArtifact
        The version.

    Raises
    ------
    NoActiveRunError
        If no run is active.
    """
    return _run.require().use_artifact(name)


def define_metric(
    name: str,
    step_metric: str | None = None,
    summary: str | Iterable[str] | None = None,
    goal: str | None = None,
    hidden: bool | None = None,
) -> None:
    """Say how a metric of the active run is summarised and drawn; see `Run.define_metric`.

    Parameters
    ----------
    name : str
        The metric, or a prefix that ends in ``*``.
    step_metric : str, optional
        The metric to draw it against.
    summary : str or iterable of str, optional
        Statistics for the summary.
    goal : str, optional
        ``"minimize"`` or ``"maximize"``.
    hidden : bool, optional
        True to show it only when asked for.

    Raises
    ------
    NoActiveRunError
        If no run is active.
    """
    _run.require().define_metric(name, step_metric, summary, goal, hidden)


def finish(exit_code: int | None = None) -> None:
    """End the active run; without one nothing happens.

    Parameters
    ----------
    exit_code : int, optional
        Exit code of the program; other than 0 the run has failed.
    """
    if _run.active is not None:
        _run.active.finish(exit_code)
