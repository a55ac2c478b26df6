"""Starting runs, and the one that is active."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from runcellar import _capture, _code, _process, _runcellar
from runcellar._artifact import Artifact, alias_list, draft_of
from runcellar._errors import Error, InvalidArgumentError, NoActiveRunError, warn
from runcellar._fields import Config, Summary, Tags

if TYPE_CHECKING:
    from types import TracebackType

    from runcellar._runcellar import StoredArtifact

Mode = Literal["offline", "disabled"]
ResumeMode = Literal["never", "allow", "must", "auto"]

#: Statistics that `define_metric` can ask for.
_STATISTICS = ("min", "max", "mean", "last", "first", "best", "none")
_GOALS = {"minimize": "minimize", "min": "minimize", "maximize": "maximize", "max": "maximize"}
_RESUME = {
    None: None,
    False: "never",
    "never": "never",
    True: "allow",
    "allow": "allow",
    "auto": "auto",
    "must": "must",
}

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
        Tags(self)._replace(_as_tags(tags))

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


def _as_tags(tags: Iterable[str] | None) -> list[str]:
    """Return tags as a list, each once; a lone text is one tag."""
    if tags is None:
        return []
    return list(dict.fromkeys([tags] if isinstance(tags, str) else tags))


def _as_mapping(config: Any) -> Any:
    """Return what a config object holds: attributes of a namespace, fields of a dataclass."""
    if config is None or isinstance(config, Mapping):
        return config
    if hasattr(type(config), "__dataclass_fields__"):
        import dataclasses

        return dataclasses.asdict(config)
    argparse = sys.modules.get("argparse")
    if argparse is not None and isinstance(config, argparse.Namespace):
        return vars(config)
    return config


def _program() -> str:
    """Return what is being run, for people."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if path:
        return os.path.abspath(str(path))
    if "ipykernel" in sys.modules:
        return "notebook"
    return sys.argv[0] if sys.argv and sys.argv[0] else "python"


def _arguments() -> list[str]:
    """Return the arguments of the program; none in a notebook, where they are the kernel's."""
    if "ipykernel" in sys.modules:
        return []
    # What the system gave in another encoding stands in surrogates, which no text may hold.
    return [part.encode(errors="replace").decode() for part in sys.argv[1:]]


def init(
    project: str | None = None,
    *,
    name: str | None = None,
    config: Any = None,
    tags: Iterable[str] | None = None,
    notes: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    id: str | None = None,
    resume: bool | ResumeMode | None = None,
    dir: str | os.PathLike[str] | None = None,
    key_file: str | os.PathLike[str] | None = None,
    mode: Mode | None = None,
    save_code: bool | str | os.PathLike[str] | None = None,
    strict: bool = False,
    fork_from: str | None = None,
    resume_from: str | None = None,
    system: bool | None = None,
    console: bool | None = None,
    source: bool | None = None,
    redact: bool | None = None,
    sync_timeout: float = 30.0,
) -> Run:
    """Start a run and make it the active one.

    A run that is active is finished first. Without a workspace one is made, and one line on
    standard error says where, and where its key is.

    Processes that torchrun or ``srun`` started as ranks of one job (``TORCHELASTIC_RUN_ID``, or
    ``SLURM_JOB_ID`` and ``SLURM_STEP_ID``) join one run unless they give an ``id``: the n-th run
    that each of them starts is the same. Each rank counts its own steps, and goes on with them when
    the job is started again.

    Parameters
    ----------
    project : str, optional
        Name of the project; by default ``RUNCELLAR_PROJECT``, else the workspace's setting
        ``project.default``.
    name : str, optional
        Name of the run; by default an adjective, a noun and a number.
    config : mapping, optional
        Parameters, nested as they are; an ``argparse.Namespace`` or a dataclass will do. Integer
        keys become text, tuples, sets and arrays become lists.
    tags : iterable of str, optional
        Tags; a lone text is one tag.
    notes, group, job_type : str, optional
        Texts to find the run by.
    id : str, optional
        Id of the run: 1 to 128 bytes without control characters and without ``/ : # ?``; by default
        12 random characters.
    resume : {"never", "allow", "must", "auto"} or bool, optional
        What to do if a run of that id is there: refuse ("never", the default; also False), go on
        with it or start it ("allow", True), or insist on going on with it ("must"). The step goes
        on one above the highest. "auto" without an id goes on with the last run of the same
        project, host, program and current directory if it crashed, was killed or failed, or with
        that of the same SLURM job if that was started again; else it starts a new one.
    dir : path, optional
        Directory of the workspace; by default ``RUNCELLAR_DIR``, else the nearest ``.runcellar`` at
        or above the current directory, else the one in the user's data directory.
    key_file : path, optional
        Key file of the workspace; by default the environment says.
    mode : {"offline", "disabled"}, optional
        "disabled" makes a run that records nothing; "offline" is the default: nothing is sent
        anywhere in any case.
    save_code : bool or {"none", "diff", "untracked", "main"} or path, optional
        What is kept of the code besides the git commit: how the work tree differs from it
        ("diff"), that and the files that git neither knows nor ignores ("untracked"), the diff and
        the main file, or the cells of a notebook ("main"; also True), or the diff and the code
        below a directory. Secrets are redacted before anything is written. By default
        ``RUNCELLAR_SAVE_CODE``, else the workspace's setting ``code.save``, which is "none".
    strict : bool, optional
        True to raise what is otherwise warned about once and counted: values that cannot be stored,
        a disk that cannot be written.
    system : bool, optional
        Whether system metrics are recorded: processor, memory, disk and network of the machine, and
        what the run's processes take of them, every 15 seconds. By default ``RUNCELLAR_SYSTEM`` (on
        or off), else the workspace's setting ``system``, which is on.
    console : bool, optional
        Whether what is written to standard output and error is recorded, by this process and by
        those that it starts. It arrives where it did before, byte by byte. By default
        ``RUNCELLAR_CONSOLE`` (on or off), else the workspace's setting ``console``, which is on.
    source : bool, optional
        Whether it is recorded where the code comes from, besides the git commit and branch: the
        address of the remote without credentials, whether tracked files differ from the commit (for
        which ``git`` is started), and which packages are installed. It is found in the background
        within two seconds, or left out. By default ``RUNCELLAR_SOURCE`` (on or off), else the
        workspace's setting ``source``, which is on.
    redact : bool, optional
        Whether secrets (passwords, tokens, keys) are taken out of config, arguments and console
        before they are recorded; a line on standard error says how many. This process goes on with
        its own values. By default ``RUNCELLAR_REDACT`` (on or off), else the workspace's setting
        ``redact``, which is on.
    sync_timeout : float
        Seconds that `finish` waits at most until remotes have the run; 0 for not at all. Without a
        remote that the user enabled (``runcellar remote enable``) nothing is sent, and nothing is
        waited for. With one a process ``runcellar sync --watch`` is started unless one is at work;
        it outlives this one. ``RUNCELLAR_OFFLINE=1`` keeps that from happening.

    fork_from : str, optional
        ``"ID?_step=N"``: a new run that begins with the history of another up to and including step
        N, or with all of it without ``?_step=N``. It takes over config and metric definitions, too,
        and owns its copy. ID is whatever `Workspace.run` finds.
    resume_from : str, optional
        ``"ID?_step=N"``: go on with a run after step N. What it logged beyond N is hidden and not
        lost: ``series(key, hidden=True)`` and `Workspace.as_of` read it. A run that is being
        recorded is refused.

    Returns
    -------
    Run
        The run; also a context manager.

    Raises
    ------
    LockedError
        If no key at hand opens the workspace.
    ExistsError
        If a run of that id is there and is not to be resumed.
    NotFoundError
        If it is to be resumed or forked and is not there, or was removed.
    BusyError
        If it is to go on from an earlier step and is being recorded.
    InvalidArgumentError, UnsupportedTypeError
        For a value of an argument that cannot be used; the message says which.

    Examples
    --------
    >>> run = runcellar.init("digits", config={"lr": 0.1})  # doctest: +SKIP
    >>> run.log({"loss": 0.5})  # doctest: +SKIP
    >>> run.finish()  # doctest: +SKIP
    """
    global active
    if mode not in (None, "offline", "disabled"):
        raise InvalidArgumentError(f"mode {mode!r}: 'offline' or 'disabled' is expected")
    if resume not in _RESUME:
        expected = "'never', 'allow', 'must' or 'auto'"
        raise InvalidArgumentError(f"resume {resume!r}: {expected} is expected")
    if _RESUME[resume] == "must" and not (id or fork_from or resume_from or _has_launcher()):
        raise InvalidArgumentError("resume='must': the id of the run is needed, too")
    if not 0 <= sync_timeout < float("inf"):
        raise InvalidArgumentError(f"sync_timeout {sync_timeout!r}: seconds from 0 on are expected")
    if active is not None:
        before = active
        try:
            before.finish()
        except Error as failure:
            # It says what the earlier run lost; that must not keep the next one from starting.
            warn(f"run {before.id}: {failure}")
    given = {} if config is None else _as_mapping(config)
    run = Run(
        project=project if project is not None else os.environ.get("RUNCELLAR_PROJECT") or None,
        name=name,
        config=given,
        tags=_as_tags(tags),
        notes=notes,
        group=group,
        job_type=job_type,
        id=id,
        resume=_RESUME[resume],
        dir=None if dir is None else os.fspath(dir),
        key_file=None if key_file is None else os.fspath(key_file),
        disabled=mode == "disabled",
        strict=strict,
        program=_program(),
        runtime="python " + ".".join(map(str, sys.version_info[:3])),
        directory=_current_directory(),
        fork_from=fork_from,
        resume_from=resume_from,
        system=_switch(system, "RUNCELLAR_SYSTEM"),
        console=_switch(console, "RUNCELLAR_CONSOLE"),
        source=_switch(source, "RUNCELLAR_SOURCE"),
        save_code=_code.what_to_save(save_code),
        package_paths=[path for path in sys.path if isinstance(path, str)],
        redact=_switch(redact, "RUNCELLAR_REDACT"),
        arguments=_arguments(),
    )
    run._config = None
    # A resumed run has more in its config than what is given now: then the store is asked.
    fresh = run.disabled or run._is_new
    run._initial_config = run._plain_config("config", given) if fresh else None
    run._name = run._start_name
    run._pid = os.getpid()
    run._summary = Summary(run)
    run._local_tags = _as_tags(tags)
    run._local_notes = notes
    run._sync_timeout = None
    if run._created is not None:
        print(f"runcellar: {run._created}", file=sys.stderr, flush=True)
    run._say_redacted()
    active = run
    _process.watch(_active)
    run._end_console = _capture.start(run)
    try:
        _have_followed(run, sync_timeout)
    except Error as failure:
        # What cannot be sent is recorded all the same.
        warn(f"run {run.id}: nothing follows its workspace: {failure}")
    return run


def _have_followed(run: Run, sync_timeout: float) -> None:
    """Start an agent where a remote is in use; elsewhere not even its module is imported."""
    if run._remotes():
        from runcellar import _sync

        if not _sync.is_offline():
            run._sync_timeout = float(sync_timeout)
            run._wait_at_exit(run._sync_timeout)
            _sync.start(run)


def _active() -> Run | None:
    return active


def _has_launcher() -> bool:
    """Return whether processes started beside this one may make the id of the run."""
    return any(os.environ.get(name) for name in ("TORCHELASTIC_RUN_ID", "SLURM_STEP_ID"))


_ON = {"on": True, "true": True, "yes": True, "1": True}
_OFF = {"off": False, "false": False, "no": False, "0": False}


def _switch(given: bool | None, variable: str) -> bool | None:
    """Return what an argument says, or else a variable; None if neither says anything."""
    text = os.environ.get(variable, "").strip().lower()
    if given is not None or not text:
        return given
    known = {**_ON, **_OFF}
    if text not in known:
        raise InvalidArgumentError(f"{variable}={text!r}: 'on' or 'off' is expected")
    return known[text]


def _current_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


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
