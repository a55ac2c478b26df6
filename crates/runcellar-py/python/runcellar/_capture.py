"""Recording the console: by descriptors, or by the streams of a notebook or a prompt."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runcellar._run import Run

_STREAMS = ("stdout", "stderr")


def start(run: Run) -> Callable[[], None]:
    """Record from now on what is written to standard output and error.

    Parameters
    ----------
    run : Run
        The run to record into.

    Returns
    -------
    callable
        What ends it; to be called before the run is finished.
    """
    if not run._records_console:
        return _nothing
    if _has_streams_of_its_own():
        return _wrap_streams(run)
    _flush()
    run._tap_console()
    # What the interpreter holds back is written before the descriptors are given back.
    return _flush


def _nothing() -> None:
    pass


def _has_streams_of_its_own() -> bool:
    """Return whether output does not come by descriptors, or a person sits before them.

    A notebook sends what is written over sockets. At a prompt the programs that page and complete
    read keys from where standard output leads, which must stay the terminal itself.
    """
    return (
        "ipykernel" in sys.modules
        or hasattr(sys, "ps1")
        or bool(sys.flags.interactive)
        or hasattr(sys.modules.get("builtins"), "__IPYTHON__")
    )


def _flush() -> None:
    for name in _STREAMS:
        # A stream that is closed, or None, has nothing to flush.
        with contextlib.suppress(Exception):
            getattr(sys, name).flush()


def _wrap_streams(run: Run) -> Callable[[], None]:
    """Record what passes through `write` of the streams, whoever holds them."""
    ends = [_wrap(run, name, getattr(sys, name, None)) for name in _STREAMS]

    def end() -> None:
        for unwrap in ends:
            unwrap()

    return end


def _wrap(run: Run, name: str, stream: Any) -> Callable[[], None]:
    try:
        write = stream.write

        def write_and_record(text: Any, *args: Any, **kwargs: Any) -> Any:
            written = write(text, *args, **kwargs)
            # Nothing that becomes of the record may reach whoever prints.
            with contextlib.suppress(Exception):
                run._take_console(name, text)
            return written

        stream.write = write_and_record
    except Exception:
        # A stream of another kind, on which nothing can be set.
        return _nothing

    def unwrap() -> None:
        with contextlib.suppress(Exception):
            # Somebody may have wrapped it once more; then ours stays below, and records nothing.
            if stream.__dict__.get("write") is write_and_record:
                del stream.write

    return unwrap
