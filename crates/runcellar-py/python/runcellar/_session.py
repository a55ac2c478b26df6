"""Starting runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from runcellar import _capture, _code, _process, _run
from runcellar._errors import Error, InvalidArgumentError, warn
from runcellar._fields import Summary
from runcellar._run import Run, tag_list

Mode = Literal["offline", "disabled"]
ResumeMode = Literal["never", "allow", "must", "auto"]

_RESUME = {
    None: None,
    False: "never",
    "never": "never",
    True: "allow",
    "allow": "allow",
    "auto": "auto",
    "must": "must",
}


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
    if mode not in (None, "offline", "disabled"):
        raise InvalidArgumentError(f"mode {mode!r}: 'offline' or 'disabled' is expected")
    if resume not in _RESUME:
        expected = "'never', 'allow', 'must' or 'auto'"
        raise InvalidArgumentError(f"resume {resume!r}: {expected} is expected")
    if _RESUME[resume] == "must" and not (id or fork_from or resume_from or _has_launcher()):
        raise InvalidArgumentError("resume='must': the id of the run is needed, too")
    if not 0 <= sync_timeout < float("inf"):
        raise InvalidArgumentError(f"sync_timeout {sync_timeout!r}: seconds from 0 on are expected")
    before = _run.active
    if before is not None:
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
        tags=tag_list(tags),
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
    run._local_tags = tag_list(tags)
    run._local_notes = notes
    run._sync_timeout = None
    if run._created is not None:
        print(f"runcellar: {run._created}", file=sys.stderr, flush=True)
    run._say_redacted()
    _run.active = run
    _process.watch(lambda: _run.active)
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
