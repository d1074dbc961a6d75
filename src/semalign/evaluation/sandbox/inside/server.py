"""The fork server: waits for jobs from the host and starts each one in a process that has nothing left but its socket.

Two of these run, one for judges and one for candidates. A job's process is the first of its own process namespace, so
that killing it ends all that it started.
"""

import gc
import os
import signal
import socket
from typing import Any

from . import candidate, confine, judge, preload, seccomp, wire

MAX_DESCRIPTORS = 2
ROLES = {"judge": judge.run, "candidate": candidate.run}


def main() -> None:
    """Serves until the host closes the socket that is this process's standard input."""
    control = socket.socket(fileno=os.dup(0))
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    confine.hide_memory()
    confine.adopt_orphans()
    separate = _can_separate()
    preload.load()
    seccomp.compiled()
    gc.freeze()
    wire.send(control, {"separate": separate})
    os.dup2(null, 2)
    os.close(null)
    while True:
        try:
            _serve_one(control, separate)
        except EOFError:
            return


def _serve_one(control: socket.socket, separate: bool) -> None:
    """Starts a job, waits for the host's word that it is over, kills it and reports how it had ended."""
    mark, descriptors, _, _ = socket.recv_fds(control, 1, MAX_DESCRIPTORS)
    if not mark:
        raise EOFError
    job = wire.receive(control)
    pid = _start(job, descriptors, separate)
    for descriptor in descriptors:
        os.close(descriptor)
    wire.receive(control)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    wire.send(control, {"status": os.waitstatus_to_exitcode(status)})


def _start(job: dict[str, Any], descriptors: list[int], separate: bool) -> int:
    """The process id of the job; a middle process enters the namespaces, since only its children can be in them."""
    read_end, write_end = os.pipe()
    middle = os.fork()
    if middle == 0:
        try:
            if separate:
                confine.fresh_namespaces()
            pid = os.fork()
            if pid == 0:
                _become(job, descriptors)
            os.write(write_end, b"%d" % pid)
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(middle, 0)
    pid = int(os.read(read_end, 32))
    os.close(read_end)
    return pid


def _become(job: dict[str, Any], descriptors: list[int]) -> None:
    try:
        os.setsid()  # a signal to its own process group would else reach the server, across namespaces
        confine.keep_only(descriptors)
        confine.limit_resources(job["cpu_seconds"])
        confine.drop_rights()
        seccomp.install()
        ROLES[job["role"]](job["text"])
    finally:
        os._exit(0)


def _can_separate() -> bool:
    """Whether namespaces can be made in here; some systems take that right from what bubblewrap starts."""
    pid = os.fork()
    if pid == 0:
        try:
            confine.fresh_namespaces()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0
