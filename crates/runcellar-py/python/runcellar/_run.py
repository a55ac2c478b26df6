"""A run that is recorded, and the one that is active."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from runcellar import _code, _process, _runcellar
from runcellar._artifact import Artifact, alias_list, draft_of
from runcellar._errors import InvalidArgumentError, NoActiveRunError, warn
from runcellar._fields import Config, Summary, Tags

if TYPE_CHECKING:
    from types import TracebackType

    from runcellar._runcellar import StoredArtifact

#: Statistics that `define_metric` can ask for.
_STATISTICS = ("min", "max", "mean", "last", "first", "best", "none")
_GOALS = {"minimize": "minimize", "min": "minimize", "maximize": "maximize", "max": "maximize"}

active: Run | None = None


class Run(_runcellar.Recorder):
    """One run being recorded; `init` makes it.

    As a context manager it ends with its block: as finished, as failed if an exception leaves the
    block, as killed on Ctrl-C. What is still open when the process ends takes its state from the
    exit code. A forked child may go on logging; it never ends its parent's run.

    Examples
    --------
    >>> with runcellar.init("digits", config={"lr": 0.1}) as run:  # doctest: +SKIP
    ...     run.log({"loss": 0.5})
    """

    __slots__ = (
        "_config",
        "_end_console",
        "_initial_config",
        "_local_notes",
        "_local_tags",
        "_name",
        "_pid",
        "_summary",
        "_sync_timeout",
    )

    _config: Config | None
    _end_console: Callable[[], None]
    _initial_config: Mapping[str, Any] | None
    _local_notes: str | None
    _local_tags: list[str]
    _name: str
    _pid: int
    _summary: Summary
    #: Seconds that `finish` waits for remotes; None where none is in use.
    _sync_timeout: float | None

    @property
    def config(self) -> Config:
        """The parameters; setting an item records it."""
        if self._config is None:
            values = self._initial_config
            if values is None:
                info = self._info()
                values = {} if info is None else info["config"]
            self._config = Config(self, values)
        return self._config

    @property
    def summary(self) -> Summary:
        """The last or best value of each metric, and what is set here."""
        return self._summary

    @property
    def name(self) -> str:
        """The name; setting it renames the run."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._set_name(name)
        self._name = name

    @property
    def notes(self) -> str | None:
        """Notes; None if there are none."""
        info = self._info()
        return self._local_notes if info is None else info["notes"]

    @notes.setter
    def notes(self, notes: str | None) -> None:
        self._set_notes(notes or "")
        self._local_notes = notes

    @property
    def tags(self) -> Tags:
        """The tags, as a set that writes through."""
        return Tags(self)

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        Tags(self)._replace(tag_list(tags))

    def _tags(self) -> list[str]:
        info = self._info()
        return self._local_tags if info is None else info["tags"]

    def _set_tags(self, add: list[str], remove: list[str]) -> None:
        super()._set_tags(add, remove)
        self._local_tags = [tag for tag in self._local_tags if tag not in remove] + add

    def log_artifact(
        self,
        artifact: Artifact | str | os.PathLike[str],
        aliases: str | Iterable[str] | None = None,
        *,
        name: str | None = None,
        type: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        compress: bool = False,
    ) -> StoredArtifact:
        """Store a version of an artifact, as made by this run.

        When this returns it survives a power cut. Content that the latest version has makes no new
        version. Unlike `log` this raises what goes wrong: a model that was not kept is no detail.

        Parameters
        ----------
        artifact : Artifact or path
            What to store: an `Artifact`, or a file or folder.
        aliases : str or iterable of str, optional
            Names for the version, such as ``"best"``; an alias that named another version moves.
            ``latest`` always names the newest, and nothing that looks like ``v3`` is an alias.
        name : str, optional
            With a path: the artifact's name; by default that of the file or folder.
        type : str, optional
            With a path: what sort of thing it is.
        description : str, optional
            With a path: description of the version.
        metadata : mapping, optional
            With a path: metadata of the version.
        compress : bool
            Whether more time is spent on making it smaller.

        Returns
        -------
        StoredArtifact
            The version that has the content.

        Raises
        ------
        NotFoundError, StorageError
            If a file is gone or cannot be read, or the disk refuses; the message names it.
        StateError
            If a file changes all the time while it is read.
        InvalidArgumentError
            For a name or alias that is none, or a type that is not the artifact's.

        Examples
        --------
        >>> run.log_artifact("model.pt", "best", name="cnn", type="model").version  # doctest: +SKIP
        'v3'
        """
        draft = draft_of(artifact, name, type, description, metadata)
        stored = self._log_artifact(draft, alias_list(aliases), compress)
        for path in draft.skipped:
            warn(f"{path}: a socket, FIFO or device, and left out")
        return stored

    def use_artifact(self, name: str) -> StoredArtifact:
        """Find a version of an artifact, and record that this run uses it.

        Parameters
        ----------
        name : str
            ``"name"``, ``"name:v3"`` or ``"name:alias"``; with ``"project/"`` in front, or else the
            run's own project comes first.

        Returns
        -------
        StoredArtifact
            The version.

        Raises
        ------
        NotFoundError
            If there is none.
        AmbiguousError
            If several other projects have the name.
        StateError
            If the run records nothing.

        Examples
        --------
        >>> folder = run.use_artifact("digits:latest").download()  # doctest: +SKIP
        """
        return self._use_artifact(name)

    def link_artifact(
        self,
        artifact: StoredArtifact | Artifact,
        target: str,
        aliases: str | Iterable[str] | None = None,
    ) -> StoredArtifact:
        """Link a version into a collection, such as ``"registry/model"``.

        Parameters
        ----------
        artifact : StoredArtifact or Artifact
            The version; an `Artifact` is logged first.
        target : str
            The collection: ``"project/name"``, or a name in the project ``registry``.
        aliases : str or iterable of str, optional
            Names for the link, such as ``"production"``.

        Returns
        -------
        StoredArtifact
            The link: a version of the collection, with the content of the one it links to.

        Raises
        ------
        InvalidArgumentError
            If the name is one of an ordinary artifact, or of a collection of another type.
        """
        if isinstance(artifact, Artifact):
            artifact = self.log_artifact(artifact)
        return artifact.link(target, alias_list(aliases))

    def define_metric(
        self,
        name: str,
        step_metric: str | None = None,
        summary: str | Iterable[str] | None = None,
        goal: str | None = None,
        hidden: bool | None = None,
    ) -> None:
        """Say how a metric is summarised and drawn.

        Parameters
        ----------
        name : str
            The metric; a name that ends in ``*`` stands for all that begin so.
        step_metric : str, optional
            The metric to draw it against, instead of the step.
        summary : str or iterable of str, optional
            Statistics for the summary: any of min, max, mean, last, first, best and none, as a
            list or separated by commas. By default the last value stands there.
        goal : str, optional
            ``"minimize"`` or ``"maximize"``: which value is the best.
        hidden : bool, optional
            True to show it only when asked for.

        Raises
        ------
        InvalidArgumentError
            For a statistic or goal that is not known.
        """
        parts = summary.split(",") if isinstance(summary, str) else list(summary or ())
        statistics = [part.strip() for part in parts if part.strip()]
        # "copy" is what others call keeping the last value, which is the default here.
        statistics = ["last" if part == "copy" else part for part in statistics]
        unknown = [part for part in statistics if part not in _STATISTICS]
        if unknown:
            raise InvalidArgumentError(
                f"metric {name}: summary {unknown[0]!r} is not one of {', '.join(_STATISTICS)}"
            )
        if goal is not None and goal not in _GOALS:
            raise InvalidArgumentError(f"metric {name}: goal {goal!r} is not minimize or maximize")
        self._define_metric(
            name,
            step_metric=step_metric,
            summary=statistics,
            goal=None if goal is None else _GOALS[goal],
            hidden=bool(hidden),
        )

    def log_code(
        self,
        root: str | os.PathLike[str] = ".",
        name: str | None = None,
        include_fn: Callable[..., bool] | None = None,
        exclude_fn: Callable[..., bool] | None = None,
    ) -> list[str]:
        """Keep the code below a directory with the run.

        What ``.gitignore`` and its like name, and what begins with a dot, is never kept; nor are
        files over 2 MiB, and what is no text. Notebooks are kept without their outputs. Secrets are
        redacted before anything is written.

        Parameters
        ----------
        root : path, default "."
            The directory.
        name : str, optional
            What it is called among the code of the run; by default ``source``. The same name again
            replaces files of the same path.
        include_fn, exclude_fn : callable, optional
            Called with the absolute path of a file, or with that and the directory: which files are
            kept, and which are not. By default what looks like code by its name is.

        Returns
        -------
        list of str
            What was left out, and why.

        Raises
        ------
        NotFoundError
            If there is no such directory.
        InvalidArgumentError
            For a name with a slash.
        """
        top = os.path.abspath(os.fspath(root))
        files = self._code_files(top, include_fn is not None)
        for choose, wanted in ((include_fn, True), (exclude_fn, False)):
            if choose is not None:
                files = [path for path in files if _code.is_chosen(choose, top, path) is wanted]
        return self._log_code(top, name or "", files)[3]

    def finish(self, exit_code: int | None = None) -> None:
        """End the run, and wait until all of it is durable.

        Where a remote is enabled this waits up to ``sync_timeout`` seconds (see `init`) until it
        has the run, too, and says on standard error if it does not. A second call does nothing. In
        a forked child this ends the child's own writing only.

        Parameters
        ----------
        exit_code : int, optional
            Exit code of the program; other than 0 the run has failed.

        Raises
        ------
        StorageError
            If what was logged could not be made durable.
        """
        self._end("failed" if exit_code else "finished", exit_code)

    def _end(self, state: str, exit_code: int | None) -> None:
        global active
        if active is self:
            active = None
        was_open = not self.finished
        self._keep_cells()
        self._end_console()
        self._finish(state, exit_code)
        if was_open and self.finished:
            self._say_redacted()
            self._await_remotes()

    def _await_remotes(self) -> None:
        """Wait until remotes in use have the run, if this process started it."""
        if self._sync_timeout is not None and self._pid == os.getpid():
            from runcellar import _sync

            _sync.wait(self, self._sync_timeout)

    def _say_redacted(self) -> None:
        if self._redacted is not None:
            print(f"runcellar: run {self.id}: {self._redacted}", file=sys.stderr, flush=True)

    def _keep_cells(self) -> None:
        """Keep what the cells of a notebook have run, if the main file is to be kept."""
        if not self._saves_main or self.finished or self._pid != os.getpid():
            return
        try:
            cells = _code.cells()
            if cells:
                self._log_cells(cells)
        except Exception as failure:
            warn(f"run {self.id}: the cells are not kept: {failure}")

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        state, exit_code = _process.state_of(error)
        if error is None:
            self._end(state, exit_code)
            return
        try:
            self._end(state, exit_code)
        except Exception as failure:
            # The error of the block is the one to see.
            warn(f"run {self.id}: {failure}")

    def _repr_html_(self) -> str:
        from runcellar import _display

        return _display.recorder(self)

    def __repr__(self) -> str:
        return f"<runcellar.Run {self.id} ({self.project}/{self.name})>"


def tag_list(tags: Iterable[str] | None) -> list[str]:
    """Return tags as a list, each once; a lone text is one tag."""
    if tags is None:
        return []
    return list(dict.fromkeys([tags] if isinstance(tags, str) else tags))


def require() -> Run:
    """Return the active run.

    Returns
    -------
    Run
        The run that `init` started last and that has not ended.

    Raises
    ------
    NoActiveRunError
        If there is none.
    """
    if active is None:
        raise NoActiveRunError("no run is active; start one by runcellar.init()")
    return active
