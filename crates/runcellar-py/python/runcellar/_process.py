"""What happens to runs when the process forks or ends."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from runcellar import _runcellar

if TYPE_CHECKING:
    from types import FrameType

    from runcellar._run import Run

#: Returns the run that is active; None until a run was started.
_active: Callable[[], Run | None] | None = None


def state_of(error: BaseException | None) -> tuple[str, int | None]:
    """Return how a run ends whose program ends with `error`."""
    if error is None or isinstance(error, GeneratorExit):
        return "finished", None
    if isinstance(error, KeyboardInterrupt):
        return "killed", 130
    if isinstance(error, SystemExit):
        code = error.code
        # The system keeps eight bits of it.
        number = code & 0xFF if isinstance(code, int) else 0 if code is None else 1
        return ("failed" if number else "finished"), number
    return "failed", 1


def watch(active: Callable[[], Run | None]) -> None:
    """Register, once, what is done when the interpreter ends and when the process forks.

    Parameters
    ----------
    active : callable
        Returns the run that is active at that time.
    """
    global _active
    if _active is None:
        _active = active
        atexit.register(_at_exit)
        os.register_at_fork(after_in_child=_after_fork)
    # A process that multiprocessing started ends without exit(), or after it has eaten the error.
    if _is_multiprocessing_child():
        _finalize_with_process()


def _at_exit() -> None:
    run = _active() if _active is not None else None
    if run is not None:
        run._end_console()
    error = getattr(sys, "last_value", None)
    interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    if error is None or interactive:
        _runcellar.finish_all()
    elif isinstance(error, KeyboardInterrupt):
        # The interpreter will end itself by the signal, so no exit code is told later.
        _runcellar.finish_all("killed", 130)
    else:
        _runcellar.finish_all(None if _runcellar.KNOWS_EXIT_STATUS else "failed", 1)


def _is_multiprocessing_child() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _after_fork() -> None:
    run = _active() if _active is not None else None
    if run is not None:
        run._after_fork()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # multiprocessing forgets finalizers right after the fork, and then runs this.
        util.register_after_fork(_after_fork, lambda _: _finalize_with_process())


def _finalize_with_process() -> None:
    from multiprocessing import util

    util.Finalize(None, _end_multiprocessing_child, exitpriority=10)


def _end_multiprocessing_child() -> None:
    _runcellar.finish_all(*_outcome_of_child())


def _outcome_of_child() -> tuple[str | None, int | None]:
    """Return how the target of this child ended; multiprocessing tells its finalizers nothing.

    Up to Python 3.12 they run inside ``_bootstrap``, while the error is on its way; later a forked
    child runs them with its exit code in a local variable, and a spawned one leaves by ``exit()``,
    which needs no help.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__package__") == "multiprocessing":
            if frame.f_code.co_name == "_bootstrap":
                return state_of(sys.exc_info()[1])
            code = frame.f_locals.get("code")
            if isinstance(code, int):
                return ("failed" if code else "finished"), code
        frame = frame.f_back
    return None, None
