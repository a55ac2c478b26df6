"""Having a workspace followed: the agent is a process of the command, and sends what is new.

Imported only where a run starts in a workspace with a remote that the user enabled. Nothing in this
package can open a connection.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from runcellar._errors import Error, warn

if TYPE_CHECKING:
    from runcellar._run import Run

#: Seconds that an agent which was just started may take to begin its work.
_START_WAIT = 5.0

_warned = False
#: Those that started an agent and end at once; they are kept to be waited for.
_starters: list[subprocess.Popen[bytes]] = []


def is_offline() -> bool:
    """Return whether the user said that nothing may leave this process.

    Returns
    -------
    bool
        True under ``RUNCELLAR_OFFLINE``.
    """
    return os.environ.get("RUNCELLAR_OFFLINE", "") not in ("", "0")


def start(run: Run) -> bool:
    """Start an agent for the workspace of a run, unless one is at work.

    Parameters
    ----------
    run : Run
        A run in a workspace with a remote in use.

    Returns
    -------
    bool
        False if there is nothing to start.
    """
    from runcellar.__main__ import command

    global _warned
    if is_offline() or run.dir is None or run._is_followed():
        return False
    program = command()
    if program is None:
        if not _warned:
            _warned = True
            warn(
                "a remote is enabled, and the command runcellar that would send to it is neither "
                "beside this interpreter nor on PATH; recording goes on"
            )
        return False
    call = [program, "sync", "--watch", "--detach", "--workspace", os.path.abspath(run.dir)]
    key_file = run._key_file()
    if key_file is not None:
        call += ["--key-file", os.path.abspath(key_file)]
    _starters[:] = [starter for starter in _starters if starter.poll() is None]
    try:
        starter = subprocess.Popen(
            call,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as failure:
        warn(f"{program}: it cannot be started to send what is recorded: {failure}")
        return False
    _starters.append(starter)
    return True


def wait(run: Run, timeout: float) -> None:
    """Wait until the remotes in use have a run that has ended; say what is left if they do not.

    Parameters
    ----------
    run : Run
        The run.
    timeout : float
        Seconds to wait at most.
    """
    try:
        starts = _START_WAIT if run._is_lacking() and start(run) else 0.0
        left = run._wait_for_remotes(timeout, starts)
    except Error as failure:
        # What is recorded is safe; that it cannot be told how far it has come is no failure of it.
        warn(f"run {run.id}: it is not known whether it was sent: {failure}")
        return
    for line in left:
        print(f"runcellar: {line}", file=sys.stderr, flush=True)
    for starter in _starters:
        starter.poll()
