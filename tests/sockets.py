"""Run a command, and write down each internet socket that it or what it starts asks for.

    python3 tests/sockets.py RECORD COMMAND [ARGUMENT...]

RECORD gets one line for each `socket(AF_INET)` or `socket(AF_INET6)`: process, program, family. The
call itself goes on, so that what is measured is what would have happened. The exit code is the
command's.

A seccomp filter tells of these calls alone (seccomp_unotify(2), Linux 5.5 on x86-64 and arm64), so
that nothing else waits: a tracer by ptrace stops each thread that begins or ends.
"""

import contextlib
import ctypes
import fcntl
import os
import platform
import select
import socket
import struct
import sys

# socket(2) and seccomp(2) by number, and the name of the machine in filters (linux/audit.h).
MACHINES = {"x86_64": (41, 317, 0xC000003E), "aarch64": (198, 277, 0xC00000B7)}
FAMILIES = {2: "AF_INET", 10: "AF_INET6"}

PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
KILL_PROCESS, NOTIFY, ALLOW = 0x80000000, 0x7FC00000, 0x7FFF0000
LOAD, EQUALS, RETURN = 0x20, 0x15, 0x06
# struct seccomp_data begins with the number of the call and the machine; arguments follow at 16.
NUMBER, MACHINE, FIRST_ARGUMENT = 0, 4, 16

# struct seccomp_notif: id, process, flags, then seccomp_data.
# struct seccomp_notif_resp: id, value, error, flags.
NOTICE, ANSWER = struct.Struct("=QII iIQ6Q"), struct.Struct("=QqiI")
RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1


def filter_of(socket_number: int, machine: int) -> bytes:
    """Return the program of the filter: tells of internet sockets, and allows the rest."""
    statements = [
        (LOAD, 0, 0, MACHINE),
        (EQUALS, 1, 0, machine),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER),
        (EQUALS, 0, 4, socket_number),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (EQUALS, 1, 0, 2),
        (EQUALS, 0, 1, 10),
        (RETURN, 0, 0, NOTIFY),
        (RETURN, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *statement) for statement in statements)


def watch_this_process() -> int:
    """Set the filter for this process and all that it starts; return where notices arrive."""
    socket_number, seccomp_number, machine = MACHINES[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    program = filter_of(socket_number, machine)
    body = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(
        struct.pack("@HP", len(program) // 8, ctypes.addressof(body))
    )
    listener = libc.syscall(
        seccomp_number, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, header
    )
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp: " + os.strerror(ctypes.get_errno()))
    return listener


def program_of(process: int) -> str:
    """Return the name of what runs as `process`."""
    try:
        with open(f"/proc/{process}/comm") as comm:
            return comm.read().strip()
    except OSError:
        return "?"


def answer(listener: int, record) -> None:
    """Take one notice, write it down, and let the call go on."""
    notice = bytearray(NOTICE.size)
    try:
        fcntl.ioctl(listener, RECEIVE, notice)
    except FileNotFoundError:
        return  # Whoever asked was killed meanwhile: there is no socket.
    identifier, process, _, _, _, _, family, *_ = NOTICE.unpack(notice)
    print(process, program_of(process), FAMILIES[family & 0xFFFFFFFF], file=record, flush=True)
    with contextlib.suppress(FileNotFoundError):  # Killed since.
        fcntl.ioctl(listener, SEND, ANSWER.pack(identifier, 0, 0, CONTINUE))


def main() -> int:
    """Run the command under the filter, and return its exit code."""
    record_path, command = sys.argv[1], sys.argv[2:]
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        listener = watch_this_process()
        socket.send_fds(theirs, [b"."], [listener])
        os.close(listener)
        os.execvp(command[0], command)
    theirs.close()
    _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    with open(record_path, "w") as record:
        ended = os.pidfd_open(child)
        waiting = select.poll()
        waiting.register(ended, select.POLLIN)
        for listener in descriptors:
            waiting.register(listener, select.POLLIN)
        while True:
            ready = {descriptor: events for descriptor, events in waiting.poll()}
            for listener in descriptors:
                if ready.get(listener, 0) & select.POLLIN:
                    answer(listener, record)
            if ended in ready:
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
