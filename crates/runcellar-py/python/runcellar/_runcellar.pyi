"""Native part of the package; import from `runcellar`."""

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, SupportsIndex, TypedDict, final, overload, type_check_only

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self, disjoint_base

from runcellar._console import Console
from runcellar._fields import Tags
from runcellar._report import CheckReport
from runcellar._series import Series
from runcellar.media import StoredMedia

__all__ = [
    "KNOWS_EXIT_STATUS",
    "Draft",
    "Histogram",
    "MediaContent",
    "MediaData",
    "MediaEntry",
    "Recorder",
    "RowFollower",
    "RunTable",
    "StoredArtifact",
    "StoredRun",
    "Table",
    "TableIterator",
    "Workspace",
    "__version__",
    "finish_all",
    "restore_from",
]

__version__: Final[str]

KNOWS_EXIT_STATUS: Final[bool]
"""True if the system tells the exit status, so that `finish_all` may wait for it."""

_State = Literal["running", "finished", "failed", "crashed", "killed"]
_Path = str | os.PathLike[str]
_Time = int | str | datetime

def restore_from(
    backup: _Path, dir: _Path | None = None, *, key_file: _Path | None = None
) -> Workspace:
    """Make a workspace of a backup.

    The copy is read back and checked; damage is warned of, and what is whole is in the workspace.
    It goes on under ids of its own, beside the workspace that was backed up. Runs that were being
    recorded have what was written by then, and count as crashed.

    Parameters
    ----------
    backup : path
        The folder of the backup.
    dir : path, optional
        A folder to be, or an empty one; by default ``RUNCELLAR_DIR``, else ``./.runcellar``.
    key_file : path, optional
        The key file; by default what the environment says.

    Returns
    -------
    Workspace
        The new workspace.

    Raises
    ------
    NotFoundError
        If there is no backup.
    ExistsError
        If something is at `dir`: nothing is overwritten.
    LockedError
        If no key opens the backup.
    """

def finish_all(state: str | None = None, exit_code: int | None = None) -> None:
    """End all open runs at the interpreter's end.

    Parameters
    ----------
    state : str, optional
        "finished", "failed" or "killed"; by default the exit status decides later, where the
        system tells it.
    exit_code : int, optional
        Exit code of the program.
    """

@final
class RowFollower:
    """Iterator over the rows of a run; see `StoredRun.follow`."""

    def __iter__(self) -> RowFollower: ...
    def __next__(self) -> dict[str, Any]:
        """Wait for the next row and return it."""

@final
class Histogram:
    """How often values fell between edges.

    Log it like a number; `series` gives it back. In the table of `history` it is a dict of edges
    and counts, and in Arrow and pandas their JSON text.

    Parameters
    ----------
    sequence : array_like of float, optional
        Values of any shape, to be counted between `num_bins` equal steps from the least to the
        greatest; those that are NaN or infinite are left out. Tensors are read through `numpy`.
    np_histogram : tuple of array_like, optional
        Counts (n) and edges (n + 1), as `numpy.histogram` returns them, in place of `sequence`.
    num_bins : int, optional
        Bins for `sequence`, 1 to 4096.

    Raises
    ------
    InvalidArgumentError
        If both or neither are given, there is no finite value, edges fall, or a count is negative.
    """

    def __new__(
        cls,
        sequence: ArrayLike | None = None,
        np_histogram: tuple[ArrayLike, ArrayLike] | None = None,
        num_bins: int = 64,
    ) -> Histogram: ...
    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges, one more than counts; shape (n + 1,)."""

    @property
    def counts(self) -> NDArray[np.float64]:
        """How often values fell between each two edges; shape (n,)."""

    def __len__(self) -> int:
        """Return the number of bins."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickling needs to make it again."""

@final
class MediaContent:
    """The bytes of a media file, or what they are made of."""

    @staticmethod
    def of_bytes(data: bytes) -> MediaContent: ...
    @staticmethod
    def of_file(path: _Path) -> MediaContent: ...
    @staticmethod
    def of_pixels(array: Any, planar: bool) -> MediaContent: ...

@final
class MediaData:
    """A media file that can be logged; see `runcellar.media`."""

    def __new__(
        cls,
        kind: str,
        format: str,
        metadata: Mapping[str, Any],
        content: MediaContent,
        companions: list[tuple[str, MediaContent]],
        parts: list[MediaData],
    ) -> MediaData: ...
    @property
    def kind(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def metadata(self) -> Any: ...
    def make(self) -> bytes: ...

@final
class MediaEntry:
    """A media file of a stored run; see `runcellar.StoredMedia`."""

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def metadata(self) -> Any: ...
    @property
    def companions(self) -> list[str]: ...
    @property
    def parts(self) -> list[MediaEntry]: ...
    def read(self, companion: str | None = None) -> bytes: ...

@type_check_only
class RewindInfo(TypedDict):
    """A rewind of a run: when, the last step that shows, and how many rows it hides."""

    time: datetime
    step: int
    rows: int

@type_check_only
class MetricInfo(TypedDict):
    """One metric of a run."""

    name: str
    kind: Literal["float", "int", "bool", "text", "histogram", "mixed"]
    points: int
    first_step: int
    last_step: int
    min: float | int | bool | str | None
    max: float | int | bool | str | None
    last: float | int | bool | str

@disjoint_base
class Recorder:
    """One run being recorded; use `runcellar.init`."""

    def __new__(
        cls,
        *,
        project: str | None,
        name: str | None,
        config: Any,
        tags: list[str],
        notes: str | None,
        group: str | None,
        job_type: str | None,
        id: str | None,
        resume: str | None,
        dir: _Path | None,
        key_file: _Path | None,
        disabled: bool,
        strict: bool,
        program: str,
        runtime: str,
        directory: _Path | None,
        system: bool | None,
        console: bool | None,
        source: bool | None,
        package_paths: list[str],
        save_code: _Path | None,
        redact: bool | None,
        arguments: list[str],
        fork_from: str | None,
        resume_from: str | None,
    ) -> Recorder: ...
    @property
    def id(self) -> str:
        """The id."""
    @property
    def project(self) -> str:
        """Name of the project."""
    @property
    def resumed(self) -> bool:
        """True if it goes on with what was recorded before; not for a rank that joins others."""
    @property
    def rank(self) -> int:
        """The rank of this process among those that record the run; 0 for a lone one."""
    @property
    def step(self) -> int:
        """The step that the next row without one gets."""
    @property
    def dir(self) -> str | None:
        """Directory of the workspace; None for a run that records nothing."""
    @property
    def disabled(self) -> bool:
        """True if nothing is recorded."""
    @property
    def finished(self) -> bool:
        """True once `finish` was called in the process that started the run."""
    @property
    def dropped(self) -> int:
        """How many values were logged in this process and could not be kept."""
    @property
    def _is_new(self) -> bool: ...
    @property
    def _records_console(self) -> bool: ...
    def _code_files(self, root: _Path, all: bool) -> list[Path]: ...
    def _log_code(
        self, root: _Path, name: str, files: list[Path]
    ) -> tuple[int, int, int, list[str]]: ...
    def _log_cells(self, cells: list[str]) -> None: ...
    @property
    def _saves_main(self) -> bool: ...
    @property
    def _redacted(self) -> str | None: ...
    @property
    def _created(self) -> str | None: ...
    @property
    def _start_name(self) -> str: ...
    def log(
        self,
        data: Mapping[str, Any],
        step: SupportsIndex | float | None = None,
        *,
        commit: bool | None = None,
    ) -> None:
        """Log one row: values of several metrics at one step.

        When this returns, a killed process loses nothing of it. A value that cannot be stored is
        left out and counted, with one warning; `finish` says how many. A strict run raises instead.

        Parameters
        ----------
        data : mapping of str to value
            Floats (all 64 bits are kept), integers, truth values and texts; arrays and tensors of
            one element; nested dicts, which become dotted keys. None is left out. An integer past
            64 bits is stored as the float that equals it, if one does.
        step : int, optional
            The row's step, which need not rise; an integral float will do. By default the row is at
            the current step. A row at a given step stays open: a next call without a step joins it.
        commit : bool, optional
            True closes the row, so that the next one gets the next step; False holds it open. By
            default a row without `step` is closed.

        Raises
        ------
        StateError
            If the run is finished.
        UnsupportedTypeError, InvalidArgumentError, StorageError
            In a strict run only: for a key or value that cannot be stored, or a disk that fails.

        Examples
        --------
        >>> run.log({"loss": 0.5, "accuracy": 0.8})  # doctest: +SKIP
        >>> run.log({"val": {"loss": 0.6}}, step=100)  # doctest: +SKIP
        """
    def flush(self) -> None:
        """Wait until all that was logged survives a power cut.

        Raises
        ------
        StorageError
            If the disk refuses; what was logged stays in memory and is tried again.
        """
    def _info(self) -> dict[str, Any] | None: ...
    def _plain_config(self, path: str, values: Any) -> dict[str, Any] | None: ...
    def _set_config(self, key: str, value: Any) -> None: ...
    def _remove_config(self, key: str) -> None: ...
    def _log_artifact(self, draft: Draft, aliases: list[str], compress: bool) -> StoredArtifact: ...
    def _use_artifact(self, name: str) -> StoredArtifact: ...
    def _set_summary(self, values: Mapping[str, Any]) -> dict[str, Any]: ...
    def _remove_summary(self, key: str) -> None: ...
    def _set_tags(self, add: list[str], remove: list[str]) -> None: ...
    def _set_name(self, name: str) -> None: ...
    def _set_notes(self, notes: str) -> None: ...
    def _define_metric(
        self,
        name: str,
        *,
        step_metric: str | None,
        summary: list[str],
        goal: str | None,
        hidden: bool,
    ) -> None: ...
    def _finish(self, state: str, exit_code: int | None = None) -> None: ...
    def _remotes(self) -> list[str]: ...
    def _is_lacking(self) -> bool: ...
    def _wait_at_exit(self, timeout_s: float) -> None: ...
    def _wait_for_remotes(self, timeout_s: float, starts_s: float) -> list[str]: ...
    def _is_followed(self) -> bool: ...
    def _key_file(self) -> Path | None: ...
    def _tap_console(self) -> None: ...
    def _take_console(self, stream: str, text: str) -> None: ...
    def _after_fork(self) -> None: ...

@disjoint_base
class Draft:
    """A version of an artifact that is being put together; `Artifact` is made of it."""

    def __new__(
        cls,
        name: str,
        type: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Self: ...
    @property
    def name(self) -> str:
        """The name."""
    @property
    def type(self) -> str | None:
        """What sort of thing it is; None if nobody said."""
    @property
    def description(self) -> str | None:
        """Description; None if there is none."""
    @description.setter
    def description(self, description: str | None) -> None: ...
    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata; a copy, so set it whole."""
    @metadata.setter
    def metadata(self, metadata: Mapping[str, Any]) -> None: ...
    @property
    def skipped(self) -> list[str]:
        """Sockets, FIFOs and devices that were passed over."""
    def _add_file(self, path: str, name: str | None, follow_links: bool) -> None: ...
    def _add_dir(self, path: str, name: str | None, follow_links: bool) -> None: ...
    def _add_bytes(self, name: str, content: bytes) -> None: ...
    def _add_reference(self, uri: str, name: str, size: int | None, digest: str | None) -> None: ...

@final
class StoredArtifact:
    """A version of an artifact, as it was when it was looked up.

    Examples
    --------
    >>> folder = rc.Workspace().artifact("model:best").download("restored")  # doctest: +SKIP
    """

    @property
    def name(self) -> str:
        """The name."""
    @property
    def project(self) -> str:
        """Name of the project."""
    @property
    def version(self) -> str:
        """The version: ``"v3"``."""
    @property
    def full_name(self) -> str:
        """All of it: ``"project/name:v3"``."""
    @property
    def type(self) -> str | None:
        """What sort of thing it is; None if nobody said."""
    @property
    def digest(self) -> str:
        """What it holds: equal for equal paths and contents within a project."""
    @property
    def size(self) -> int:
        """Bytes of the files."""
    @property
    def file_count(self) -> int:
        """How many files."""
    @property
    def created(self) -> datetime | None:
        """When it was made, in UTC; None for a run that records nothing."""
    @property
    def aliases(self) -> list[str]:
        """Aliases that name it."""
    @property
    def links_to(self) -> str | None:
        """Of a link, the version that it links to: ``"project/name:v3"``."""
    @property
    def description(self) -> str | None:
        """Description; None if there is none."""
    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata; a copy."""
    def wait(self) -> StoredArtifact:
        """Return at once: what was logged is stored already.

        Returns
        -------
        StoredArtifact
            Itself.
        """
    def files(self, glob: str | None = None) -> list[dict[str, Any]]:
        """List what it holds.

        Parameters
        ----------
        glob : str, optional
            Only paths that match, as `download` has it.

        Returns
        -------
        list of dict
            In order of path: path, kind (``"file"``, ``"link"``, ``"directory"`` if empty,
            ``"reference"``), size in bytes, executable, target of a link, uri and digest of a
            reference. A path that is not UTF-8 is as `os.fsdecode` makes it.

        Raises
        ------
        InvalidArgumentError
            If the pattern is none.
        """
    def download(self, path: _Path | None = None, *, glob: str | None = None) -> str:
        """Write the files below a folder.

        Each file appears when it is whole. What stands there with the same content is left as it
        is; other files are not touched. References are not fetched.

        Parameters
        ----------
        path : path, optional
            The folder; by default one of the artifact's name in the current directory.
        glob : str, optional
            Only paths that match, and what is below folders that do: ``*`` and ``?`` within a name,
            ``**`` across folders, ``[...]``, ``{a,b}``.

        Returns
        -------
        str
            The folder.

        Raises
        ------
        NotFoundError
            If nothing matches.
        DamagedError
            If files are damaged or missing: they are named, and all others were written.
        InvalidArgumentError
            If something in the folder stands in the way; all others were written.
        StorageError
            If the disk refuses.
        """
    def verify(self) -> None:
        """Open all content and compare it.

        Raises
        ------
        DamagedError
            If files are damaged or missing; they are named.
        """
    def diff(self, other: StoredArtifact) -> dict[str, Any]:
        """Compare with another version of the project, from this one to that.

        Parameters
        ----------
        other : StoredArtifact
            The other version.

        Returns
        -------
        dict
            ``added``, ``removed`` and ``changed``: lists of paths; ``unchanged``: how many.

        Raises
        ------
        InvalidArgumentError
            If it is of another project.
        """
    def tag(self, *aliases: str, remove: str | list[str] | None = None) -> StoredArtifact:
        """Let aliases name it, or take them away; one that named another version moves.

        Parameters
        ----------
        *aliases : str
            Aliases to add.
        remove : str or list of str, optional
            Aliases to take away.

        Returns
        -------
        StoredArtifact
            The version as it is then.

        Raises
        ------
        InvalidArgumentError
            If one is no alias.
        NotFoundError
            If one that is to be taken away does not name it.
        """
    def link(self, target: str, aliases: str | list[str] | None = None) -> StoredArtifact:
        """Link it into a collection; see `Run.link_artifact`.

        Parameters
        ----------
        target : str
            The collection: ``"project/name"``, or a name in the project ``registry``.
        aliases : str or list of str, optional
            Names for the link.

        Returns
        -------
        StoredArtifact
            The link.
        """
    def describe(
        self, description: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> StoredArtifact:
        """Change description or metadata; the content never changes.

        Parameters
        ----------
        description : str, optional
            The new description; by default it stays.
        metadata : mapping, optional
            The new metadata, whole; by default they stay.

        Returns
        -------
        StoredArtifact
            The version as it is then.
        """
    def made_by(self) -> list[str]:
        """Return the ids of the runs that made it, the first one first.

        Returns
        -------
        list of str
            Ids.
        """
    def used_by(self) -> list[str]:
        """Return the ids of the runs that used it, the first one first.

        Returns
        -------
        list of str
            Ids.
        """

@disjoint_base
class Table:
    """Rows and named columns, read into memory.

    Rows are dicts and columns are lists of Python objects: an absent value is None, NaN is NaN, a
    time is a `datetime` in UTC, and media are handles (of a panel a list), in pandas too; Arrow has
    their ids. For arrays take `series`, `to_arrow` or `to_pandas`; any consumer of the Arrow C
    stream interface (pyarrow, polars, DuckDB) takes the table itself.

    Examples
    --------
    >>> table = run.history()  # doctest: +SKIP
    >>> table[0]["loss"], table["loss"][-1], table[:10]  # doctest: +SKIP
    """

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
    @property
    def sampled(self) -> bool:
        """True if rows were left out because ``points=`` asked for fewer."""
    def __len__(self) -> int: ...
    def __iter__(self) -> TableIterator: ...
    def __contains__(self, column: str, /) -> bool: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: str, /) -> list[Any]: ...
    @overload
    def __getitem__(self, key: slice, /) -> Table: ...
    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame``; needs pandas.

        Returns
        -------
        pandas.DataFrame
            Columns with absent values have masked types, so that absent and NaN stay apart.
        """
    def to_arrow(self) -> Any:
        """Return a ``pyarrow.Table``; needs pyarrow.

        Returns
        -------
        pyarrow.Table
            Absent values are null, NaN stays NaN. Times are timestamps in microseconds, UTC; lists
            and mixtures of types are JSON text.
        """
    def to_polars(self) -> Any:
        """Return a ``polars.DataFrame``; needs polars.

        Returns
        -------
        polars.DataFrame
            Absent values are null, NaN stays NaN, as in `to_arrow`.
        """
    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...
    def _repr_html_(self) -> str: ...
    def _sketch(self, column: str, stretches: int) -> list[tuple[float, float, float]]: ...
    def _parts(self) -> list[tuple[str, str, Any, bytearray | None]]: ...

@final
class RunTable(Table):
    """A table of runs.

    Columns: id, name, project, state, created, finished, duration (seconds), tags, group, job_type,
    notes; then ``config.*`` and ``summary.*`` key by key; last ``config`` and ``summary`` whole.
    """

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: str, /) -> list[Any]: ...
    @overload
    def __getitem__(self, key: slice, /) -> RunTable: ...
    def group_by(self, *keys: str, of: str | Iterable[str] | None = None) -> Table:
        """Group the runs by the values of fields.

        Parameters
        ----------
        *keys : str
            Fields, such as ``"config.lr"``; several may stand in one text, separated by commas.
        of : str or iterable of str, optional
            What figures are of, such as ``"summary.loss"`` or ``"max(acc)"``; by default every
            summary key of which some run has a number.

        Returns
        -------
        Table
            A row a group, by rising keys: the keys, ``runs``, and of each field ``.mean``, ``.sd``
            (of the sample, None below two runs), ``.min``, ``.max`` and ``.n``, which counts the
            runs that have a finite number there. All runs that `Workspace.runs` selected are
            members, whatever its limit was and whatever rows this table has, as they are now.

        Raises
        ------
        QueryError
            For a field that is not understood.

        Examples
        --------
        >>> ws.runs("digits").group_by("config.lr", of="summary.loss")  # doctest: +SKIP
        """

@final
class TableIterator:
    """Yields the rows of a table as dicts."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...
    def __next__(self) -> dict[str, Any]: ...

@final
class StoredRun:
    """A run of a workspace; `Workspace.run` finds it.

    What it says of itself is as it was when it was looked up, or last changed through this object;
    metrics are read from the workspace each time.
    """

    name: str
    """The name; setting it renames the run."""
    notes: str | None
    """Notes; None if there are none."""
    @property
    def tags(self) -> Tags:
        """The tags, as a set that writes through."""
    @tags.setter
    def tags(self, tags: Iterable[str]) -> None: ...
    @property
    def id(self) -> str:
        """The id."""
    @property
    def project(self) -> str:
        """Name of the project."""
    @property
    def state(self) -> _State:
        """How it stands: running, finished, failed, crashed or killed."""
    @property
    def created(self) -> datetime:
        """When it was started, in UTC."""
    @property
    def finished(self) -> datetime | None:
        """When it ended, in UTC; None while it runs."""
    @property
    def config(self) -> dict[str, Any]:
        """The parameters, nested; a copy."""
    @property
    def summary(self) -> dict[str, Any]:
        """The last or best value of each metric, and what was set; a copy."""
    @property
    def group(self) -> str | None:
        """The group; None if there is none."""
    @property
    def job_type(self) -> str | None:
        """The job type; None if there is none."""
    @property
    def exit_code(self) -> int | None:
        """Exit code of the program; None if it gave none."""
    @property
    def dropped(self) -> int:
        """How many values were logged and could not be kept."""
    def artifacts(self) -> dict[str, list[StoredArtifact]]:
        """Return the versions of artifacts that the run made and used.

        Returns
        -------
        dict
            ``made`` and ``used``: lists of `StoredArtifact`.
        """
    def source(self) -> dict[str, Any]:
        """Read where the code comes from.

        Returns
        -------
        dict
            ``commit``, ``branch`` and ``remote`` of the git work tree (text or None; of the remote
            without credentials), ``dirty`` (whether tracked files differed from the commit; None if
            that is not known), and ``packages``, a dict of versions by name: all as of the last
            session, if the run was resumed.

        Examples
        --------
        >>> ws.run("brave-otter-12").source()["packages"]["numpy"]  # doctest: +SKIP
        """
    def code(self) -> dict[str, int]:
        """List the files of code that are kept with the run.

        Returns
        -------
        dict
            Their lengths in bytes by path: ``diff.patch``, or below ``main/``, ``untracked/`` or
            the name of a folder.
        """
    def checkout_code(self, path: _Path, *, force: bool = False) -> list[str]:
        """Write the code that is kept with the run below a directory.

        The diff is written as ``diff.patch``; nothing is applied.

        Parameters
        ----------
        path : path
            The directory; it is made if it is not there.
        force : bool, default False
            True to overwrite files that are there.

        Returns
        -------
        list of str
            The files, by path below the directory.

        Raises
        ------
        NotFoundError
            If no code is kept with the run.
        ExistsError
            If a file is there already; then nothing is written.
        """
    @property
    def git_commit(self) -> str | None:
        """Commit of the git work tree that it was started in; None if there was none."""
    @property
    def git_branch(self) -> str | None:
        """Branch of that work tree; None if there was none."""
    @property
    def program(self) -> str | None:
        """The program."""
    @property
    def runtime(self) -> str | None:
        """The language runtime, such as ``python 3.11.7``."""
    @property
    def host(self) -> str | None:
        """Name of the host it was started on."""
    @property
    def forked_from(self) -> str | None:
        """What it was forked from, such as ``"3fk2...?_step=100"``; None if it was not."""
    @property
    def rewinds(self) -> list[RewindInfo]:
        """How often it was rewound, in order: time, last step that shows, rows that it hides."""
    def metrics(
        self,
        steps: tuple[int | None, int | None] | None = None,
        *,
        times: tuple[_Time | None, _Time | None] | None = None,
        rank: int | None = None,
    ) -> list[MetricInfo]:
        """List the metrics.

        Parameters
        ----------
        steps : tuple of int or None, optional
            Count only the points from the first step to before the second; None leaves an end open.
        times : tuple, optional
            Count only what was logged from the first time to before the second, as in `history`.
        rank : int, optional
            Count only what this rank of a distributed run logged.

        Returns
        -------
        list of dict
            Name, kind, count of points, first and last step, smallest, largest and last value, in
            order of first use. A metric without a point in these ranges is left out.
        """
    def history(
        self,
        keys: str | Iterable[str] | None = None,
        steps: tuple[int | None, int | None] | None = None,
        points: int | None = None,
        *,
        times: tuple[_Time | None, _Time | None] | None = None,
        rank: int | None = None,
    ) -> Table:
        """Read metrics as a table: a row a step, with the last value written there.

        Of a run of several ranks, a row for each step and rank.

        Parameters
        ----------
        keys : str or iterable of str, optional
            The metrics; by default all.
        steps : tuple of int, optional
            (a, b) for steps from a to before b; None leaves an end open.
        points : int, optional
            At most so many rows, or two a metric and one if that is more: of each stretch of rows
            those with the smallest and largest value of each metric stay, and the last.
        times : tuple of int, datetime or str, optional
            (t0, t1) for what was logged from t0 to before t1: microseconds UTC since 1970, a
            datetime (a naive one is local time), or text of RFC 3339.
        rank : int, optional
            Only the rows of this rank of a distributed run.

        Returns
        -------
        Table
            Columns step, time, rank if the run has several, then the metrics in order of first use.

        Raises
        ------
        NotFoundError
            For a metric that the run does not have.
        """
    def media(self) -> list[StoredMedia]:
        """List the media of the run in order of logging, those in panels and tables among them."""

    def series(
        self,
        key: str,
        points: int | None = None,
        *,
        steps: tuple[int | None, int | None] | None = None,
        times: tuple[_Time | None, _Time | None] | None = None,
        rank: int | None = None,
        hidden: bool = False,
    ) -> Series:
        """Read one metric, every point of it.

        Parameters
        ----------
        key : str
            The metric.
        points : int, optional
            At most so many points instead (three at least); the smallest, largest and last of each
            stretch stay, so no spike is hidden. NaN is neither small nor large, infinities are.
        steps : tuple of int, optional
            (a, b) for steps from a to before b; None leaves an end open.
        times : tuple of int, datetime or str, optional
            (t0, t1) for what was logged from t0 to before t1; as for `history`.
        rank : int, optional
            Only what this rank of a distributed run logged.
        hidden : bool, optional
            True for the points that rewinds hide, and only these.

        Returns
        -------
        Series
            Steps, values and times by (step, order written).

        Raises
        ------
        NotFoundError
            For a metric that the run does not have.

        Examples
        --------
        >>> steps, values, times = run.series("loss")  # doctest: +SKIP
        """

    def system(self, keys: str | Iterable[str] | None = None) -> Table:
        """Read system metrics as a table: a row a sample, in order of time.

        Parameters
        ----------
        keys : str or iterable of str, optional
            Some of them, such as ``"system/cpu"``; by default all.

        Returns
        -------
        Table
            Columns step (the number of the sample), time, then the metrics. Sizes are in bytes,
            rates in bytes a second, ``system/cpu`` in percent of the machine and
            ``system/process/cpu`` in percent of one core.

        Raises
        ------
        NotFoundError
            For one that the run does not have.
        """

    def follow(
        self,
        keys: str | Iterable[str] | None = None,
        *,
        poll: float = 0.02,
        timeout: float | None = None,
    ) -> RowFollower:
        """Yield the rows of the run, those that are there and those that come, until it ends.

        Each row comes once, as it was logged, in order for each process that logs.

        Parameters
        ----------
        keys : str or iterable of str, optional
            Metrics; by default all. A row without any of them is passed over.
        poll : float, optional
            Seconds between two looks for new rows; one that finds none costs some microseconds.
        timeout : float, optional
            Seconds without a new row after which it ends; by default it waits for the run's end.

        Returns
        -------
        RowFollower
            Iterator over dicts with `step`, `time` (datetime in UTC) and the metrics of the row.

        Raises
        ------
        InvalidArgumentError
            If `poll` or `timeout` is below 0 or no number.
        """

    def console(self) -> Console:
        """Read what the run wrote to its console.

        Returns
        -------
        Console
            A list of lines without their ends, with ``times`` and ``streams``.
        """
    def _repr_html_(self) -> str: ...
    def _tags(self) -> list[str]: ...
    def _set_tags(self, add: list[str], remove: list[str]) -> None: ...

@final
class Workspace:
    """An open workspace, for reading runs.

    Parameters
    ----------
    dir : path, optional
        Its directory; by default ``RUNCELLAR_DIR``, else the nearest ``.runcellar`` at or above the
        current directory, else the one in the user's data directory.
    key_file : path, optional
        Its key file; by default the environment says.

    Raises
    ------
    NotFoundError
        If there is no workspace.
    LockedError
        If no key at hand opens it.
    DamagedError
        If bytes were changed, moved, lost or replaced by older ones.

    Examples
    --------
    >>> best = rc.Workspace().runs(order_by="summary.loss", limit=1)  # doctest: +SKIP
    """

    def __new__(cls, dir: _Path | None = None, key_file: _Path | None = None) -> Workspace: ...
    @property
    def path(self) -> str:
        """The directory."""
    @property
    def id(self) -> str:
        """The random id: 32 hexadecimal digits."""
    def runs(
        self,
        project: str | None = None,
        where: str | None = None,
        order_by: str | None = "-created",
        limit: int | None = None,
    ) -> RunTable:
        """List runs.

        Parameters
        ----------
        project : str, optional
            Only those of this project.
        where : str, optional
            A filter, such as ``config.lr > 0.1 and "baseline" in tags`` or ``max(acc) > 0.9``.
        order_by : str, optional
            Sort keys separated by commas, the first strongest; ``-`` in front of one descends:
            ``"-max(acc),created"``.
        limit : int, optional
            At most so many; by default all.

        Returns
        -------
        RunTable
            A row a run.

        Raises
        ------
        QueryError
            For a filter or sort key that is not understood; ``column`` says where.
        """
    def run(self, run: str) -> StoredRun:
        """Find one run.

        Parameters
        ----------
        run : str
            Its id, a prefix of at least 4 characters that only one id has, a name that only one run
            has, or ``project/name``.

        Returns
        -------
        StoredRun
            The run.

        Raises
        ------
        NotFoundError
            If there is none.
        AmbiguousError
            If there are several.
        """
    def artifact(self, name: str) -> StoredArtifact:
        """Find a version of an artifact.

        Parameters
        ----------
        name : str
            ``"name"``, ``"name:v3"`` or ``"name:alias"``, with ``"project/"`` in front where
            several projects have the name. Without version or alias it is the latest.

        Returns
        -------
        StoredArtifact
            The version.

        Raises
        ------
        NotFoundError
            If there is none.
        AmbiguousError
            If several projects have the name.
        """
    def diff(
        self, left: StoredRun | str, right: StoredRun | str, *, all: bool = False
    ) -> dict[str, Any]:
        """Put two runs side by side.

        Parameters
        ----------
        left, right : StoredRun or str
            The runs, or what `run` finds them by.
        all : bool
            Whether what both have alike is listed too; of code it never is.

        Returns
        -------
        dict
            ``runs`` (id, name and project of both), ``source``, ``config``, ``summary``,
            ``packages`` (lists of name, left and right: None where a run has nothing) and ``code``
            (path, change and the unified diff, None of what is no text), in the shape that
            ``runcellar diff --json`` prints.

        Raises
        ------
        NotFoundError, AmbiguousError
            If one of them is not there, or is several.
        """
    def put_artifact(
        self,
        artifact: Draft,
        project: str | None = None,
        aliases: str | list[str] | None = None,
        *,
        compress: bool = False,
    ) -> StoredArtifact:
        """Store a version of an artifact that no run makes; see `Run.log_artifact`.

        Parameters
        ----------
        artifact : Artifact
            What to store.
        project : str, optional
            The project; by default ``RUNCELLAR_PROJECT``, else the setting ``project.default``.
        aliases : str or list of str, optional
            Names for the version.
        compress : bool
            Whether more time is spent on making it smaller.

        Returns
        -------
        StoredArtifact
            The version that has the content.

        Raises
        ------
        NotFoundError, StorageError, StateError, InvalidArgumentError
            As `Run.log_artifact`.

        Examples
        --------
        >>> data = rc.Artifact("digits", type="dataset")  # doctest: +SKIP
        >>> data.add_dir("data/")  # doctest: +SKIP
        >>> rc.Workspace().put_artifact(data, "vision", ["raw"]).version  # doctest: +SKIP
        'v0'
        """
    def artifacts(self, project: str | None = None) -> Table:
        """List the versions of all artifacts.

        Parameters
        ----------
        project : str, optional
            Only those of this project.

        Returns
        -------
        Table
            A row a version, by project, name and number: name, project, version, type, digest,
            size, files, created, aliases, links_to, description, metadata.
        """
    def link_artifact(
        self,
        artifact: StoredArtifact | str,
        target: str,
        aliases: str | list[str] | None = None,
    ) -> StoredArtifact:
        """Link a version into a collection; see `Run.link_artifact`.

        Parameters
        ----------
        artifact : StoredArtifact or str
            The version, or its name.
        target : str
            The collection: ``"project/name"``, or a name in the project ``registry``.
        aliases : str or list of str, optional
            Names for the link, such as ``"production"``.

        Returns
        -------
        StoredArtifact
            The link: a version of the collection.
        """
    def as_of(self, time: _Time) -> Workspace:
        """Return the workspace as it was at a time, for reading only.

        Runs that were there then, with the points that they had and the names, tags, notes, config
        and state of then. Rewinds and removals that came later are undone.

        Parameters
        ----------
        time : datetime, str or int
            Text is a date or date-time in UTC such as ``"2026-11-01T12:00"``, an int microseconds
            since 1970; a naive datetime is local time.

        Returns
        -------
        Workspace
            A view; setting a field of one of its runs raises.

        Raises
        ------
        InvalidArgumentError
            For text that is no time.

        Examples
        --------
        >>> workspace.as_of("2026-11-01").runs()  # doctest: +SKIP
        """
    def check(self, read_data: bool = False) -> CheckReport:
        """Verify the workspace; nothing is changed.

        Parameters
        ----------
        read_data : bool, optional
            True to open and decode every block, too.

        Returns
        -------
        CheckReport
            What was looked at and what is wrong; true if nothing is hurt.
        """
    def backup(self, dest: _Path, *, verify: bool = False) -> dict[str, Any]:
        """Copy the workspace to another folder, also while runs are recorded.

        What was acknowledged before the call is in the copy. The key file is not copied: keep it
        elsewhere, or a recovery code.

        Parameters
        ----------
        dest : path
            A folder to be, an empty one, or an earlier backup of this workspace; then only what
            is new is copied, and the earlier state stands until the new one is durable.
        verify : bool, default False
            True to read the copy back and check all that is in it.

        Returns
        -------
        dict
            ``copied`` and ``unchanged`` (each with ``files`` and ``bytes``), ``removed``,
            ``missing`` (files that the workspace has lost), ``verified`` (None if not asked
            for) and ``key_file``, in the shape that ``runcellar backup --json`` prints.

        Raises
        ------
        ExistsError
            If `dest` is something else.
        BusyError
            If another backup is being written to it.
        StorageError
            If it cannot be written or is full.
        """
    def merge(
        self,
        other: _Path,
        *,
        projects: list[str] | str | None = None,
        dry_run: bool = False,
        key_file: _Path | None = None,
    ) -> dict[str, Any]:
        """Bring in the runs and artifacts of another workspace, which is only read.

        What came in before is known again: a second merge changes nothing, a later one brings
        what is new. What is damaged there is named and left out.

        Parameters
        ----------
        other : path
            The directory of a workspace, a backup, or a copy that went its own way.
        projects : list of str, optional
            Only what belongs to these projects.
        dry_run : bool, default False
            True to say what would come in, and change nothing.
        key_file : path, optional
            The key file that opens `other`; by default what the environment says.

        Returns
        -------
        dict
            ``runs`` (``new``, ``updated``, ``unchanged``), ``versions``, ``artifacts_updated``,
            ``files``, ``renamed`` and ``left_out``, as ``runcellar merge --json`` prints.

        Raises
        ------
        InvalidArgumentError
            If `other` is this workspace.
        NotFoundError
            If there is no workspace, or no such project in it.
        LockedError
            If no key opens `other`.
        """
    def purge(
        self,
        targets: str | StoredRun | list[str | StoredRun] | tuple[str | StoredRun, ...],
        dry_run: bool = False,
        receipt: _Path | None = None,
        *,
        strict: bool = False,
        recovery_out: _Path | None = None,
    ) -> dict[str, Any]:
        """Erase runs and artifacts so that older copies cannot give them back.

        Rows and keys go, and the key of the workspace is replaced: whoever kept every byte of
        before cannot read what went without an old copy of the key file, or what else the receipt
        lists. Recovery codes are of no use any more. Nothing asks: call it with `dry_run` first.

        Parameters
        ----------
        targets : str, StoredRun, or several
            Runs, or texts as ``runcellar purge`` takes them: ``"project:P"``,
            ``"artifact:[P/]NAME[:vN]"``, ``"class:media@RUN"``, ``"older:90d"``,
            ``"from:artifact:NAME:vN"``.
        dry_run : bool, default False
            True to change nothing and get the plan.
        receipt : path, optional
            A new file for the signed receipt.
        strict : bool, default False
            True to refuse while a passphrase alone opens the workspace.
        recovery_out : path, optional
            A new file for a new recovery code, if there was one. Without it none is left.

        Returns
        -------
        dict
            The receipt; with `dry_run` the plan, as ``runcellar purge --dry-run --json`` prints it.

        Raises
        ------
        NotFoundError
            If a target names nothing.
        Error
            If the key file cannot be replaced, or `strict` refuses. Nothing has happened then.
        """
    def du(self) -> dict[str, Any]:
        """Say what takes how much of the disk.

        Returns
        -------
        dict
            ``total`` bytes of all files of the workspace; lists ``projects``, ``runs`` and
            ``kinds``, the bytes of each of which add up to it, in the shape that
            ``runcellar du --json`` prints. What belongs to no run is of project and id None.
            ``quotas`` has for each setting ``quota.bytes`` its project (None: the workspace), the
            ``quota`` and what is ``used`` of it. ``evicted`` are bytes of content that lie on
            remotes alone; no total has them.
        """
    def _repr_html_(self) -> str: ...
