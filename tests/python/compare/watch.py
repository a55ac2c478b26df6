"""Runs a process with all that it starts, and says what they took together."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from peers.work import below, peak_of

#: A child that lives on this long after the process that was measured is killed, and it is said.
LINGER_S = 20.0
POLL_S = 0.05
PR_SET_CHILD_SUBREAPER = 36
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


@dataclasses.dataclass
class Outcome:
    """What a process and all that it started took."""

    status: int
    cpu_s: float
    #: Most memory at one moment, the peaks of all processes alive then added up.
    peak_bytes: int
    #: True if something had to be killed in the end.
    lingered: bool
    #: What the process itself has to say.
    answer: dict[str, Any] = dataclasses.field(default_factory=dict)


def leave_the_network() -> bool:
    """Go on in a namespace that has loopback only; false if the system does not allow that."""
    if "--isolated" in sys.argv:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            name = b"lo".ljust(16, b"\0")
            flags = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH14x", name, 0))
            up = struct.unpack("16sH14x", flags)[1] | IFF_UP
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name, up))
        return True
    unshare = ["unshare", "-n" if os.getuid() == 0 else "-rn"]
    try:
        subprocess.run([*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv, "--isolated"])


def adopt_orphans() -> None:
    """Make the children of children that end our own, so that none escapes the count."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(command: list[str], environment: dict[str, str], output: Path) -> Outcome:
    """Run a process and wait for all that it starts, daemons too: they become our children."""
    with output.open("ab") as log:
        actions = [(os.POSIX_SPAWN_DUP2, log.fileno(), number) for number in (1, 2)]
        first = os.posix_spawnp(command[0], command, environment, file_actions=actions)
    status, cpu, peak, lingered, alive_until = -1, 0.0, 0, False, math.inf
    while True:
        try:
            pid, code, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid:
            cpu += usage.ru_utime + usage.ru_stime
            if pid == first:
                status, alive_until = os.waitstatus_to_exitcode(code), time.monotonic() + LINGER_S
            continue
        family = below(os.getpid())
        peak = max(peak, sum(map(peak_of, family)))
        if time.monotonic() > alive_until:
            lingered = True
            for child in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        time.sleep(POLL_S)
    return Outcome(status, cpu, peak, lingered)
