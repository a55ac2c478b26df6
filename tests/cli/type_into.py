"""Runs a command on a terminal of its own and types into it.

Reads one JSON object from stdin: argv, env, cwd, columns, and steps, a list of [wait for this text,
then type that]. Typing the character 3 is Ctrl-C. Writes one JSON object to stdout: code,
transcript, echo (whether the terminal still echoes), left (steps that never came).
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time

TIMEOUT_S = 60


def main() -> None:
    """Do what stdin says."""
    spec = json.load(sys.stdin)
    pid, master = pty.fork()
    if pid == 0:
        # Before anything is written, so that the first line already fits.
        size = struct.pack("HHHH", 40, spec["columns"], 0, 0)
        fcntl.ioctl(0, termios.TIOCSWINSZ, size)
        os.chdir(spec["cwd"])
        os.execve(spec["argv"][0], spec["argv"], spec["env"])
    seen = b""
    answered = 0
    steps = list(spec["steps"])
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 1.0)
        if ready:
            try:
                chunk = os.read(master, 65536)
            except OSError:
                break
            if not chunk:
                break
            seen += chunk
        while steps and steps[0][0].encode() in seen[answered:]:
            wanted, typed = steps.pop(0)
            answered = seen.index(wanted.encode(), answered) + len(wanted.encode())
            os.write(master, typed.encode())
    echo = bool(termios.tcgetattr(master)[3] & termios.ECHO)
    _, status = os.waitpid(pid, 0)
    answer = {
        "code": os.waitstatus_to_exitcode(status),
        "transcript": seen.decode(),
        "echo": echo,
        "left": len(steps),
    }
    print(json.dumps(answer))


main()
