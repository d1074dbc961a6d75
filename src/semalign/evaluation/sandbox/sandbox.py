"""Runs programs against tests: the program in one bubblewrap, the tests in another, plain data in between."""

import contextlib
import math
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from semalign.evaluation.sandbox.bubblewrap import SandboxUnavailable, find_bubblewrap
from semalign.evaluation.sandbox.inside import wire
from semalign.evaluation.sandbox.server_process import ServerProcess
from semalign.evaluation.sandbox.verdict import Verdict

ROLES = ("candidate", "judge")
KILLED = -9
LOST = "failed: the sandbox was ended from outside, twice"
TRIAL_SECONDS = 20.0  # for a loaded machine; 0.02 is usual


class Sandbox:
    """A context manager; `run` gives the verdict on a program.

    The verdict is the word of a judge process that the program can reach only by return values. One object runs one
    program at a time; use several for several at once. Enter it in a thread that outlives it: the kernel ends the
    servers with the thread that started them.
    """

    def __init__(self) -> None:
        self._servers: dict[str, ServerProcess] = {}
        self._lock = threading.Lock()
        self._bubblewrap = Path()

    @staticmethod
    def available() -> str | None:
        """Why programs cannot be run on this machine, in one line; None if they can."""
        try:
            with Sandbox():
                return None
        except SandboxUnavailable as error:
            return str(error)

    def __enter__(self) -> "Sandbox":
        self._bubblewrap = find_bubblewrap()
        try:
            verdict = self.run("def one(): return 1", "assert one() == 1", timeout=TRIAL_SECONDS)
        except BaseException:
            self._close()
            raise
        if not verdict.passed:
            self._close()
            raise SandboxUnavailable(f"no sandbox for generated code: a trial program did not pass ({verdict.reason})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def run(self, program: str, tests: str, timeout: float = 3.0) -> Verdict:
        """Runs `tests` with the names of `program`; `timeout` is wall seconds for both together.

        The tests see functions and classes of the program as remote objects. Values cross as plain builtin data; an
        instance of a program's class is equal only to itself.
        """
        if not self._bubblewrap.name:
            raise ValueError("the sandbox is not open; use `with Sandbox() as box:`")
        with self._lock:
            start = time.perf_counter()
            # A program cannot reach the servers; one that is lost (to a kill from outside) costs a second attempt.
            reason = self._try(program, tests, timeout) or self._try(program, tests, timeout) or LOST
            seconds = time.perf_counter() - start
        return Verdict(passed=reason == "passed", reason=reason, seconds=seconds)

    def _try(self, program: str, tests: str, timeout: float) -> str | None:
        """The reason of the verdict, or None when a server was lost."""
        self._start_servers()
        try:
            answer = self._answer(program, tests, timeout)
        except OSError:
            answer = None
        finally:
            status = self._end_jobs()
        return None if status is None else _reason(answer, status)

    def _answer(self, program: str, tests: str, timeout: float) -> dict[str, Any] | None:
        """What the judge says; None when time ran out."""
        cpu_seconds = math.ceil(timeout) + 1
        with contextlib.ExitStack() as stack:
            sockets = [*socket.socketpair(), *socket.socketpair()]
            for_judge, for_candidate, report, for_report = [stack.enter_context(one) for one in sockets]
            job = {"role": "candidate", "text": program, "cpu_seconds": cpu_seconds}
            self._servers["candidate"].start(job, [for_candidate.fileno()])
            job = {"role": "judge", "text": tests, "cpu_seconds": cpu_seconds}
            self._servers["judge"].start(job, [for_judge.fileno(), for_report.fileno()])
            for one in (for_judge, for_candidate, for_report):
                one.close()
            return _receive_within(report, timeout)

    def _end_jobs(self) -> int | None:
        """The candidate's exit status, None when a server was lost; those lost or used up are taken out."""
        statuses = {}
        for server in self._servers.values():
            with contextlib.suppress(OSError):  # found again when the status is asked for
                server.end()
        for role, server in list(self._servers.items()):
            with contextlib.suppress(EOFError, OSError):
                statuses[role] = server.status()
            if role not in statuses or not server.separates:
                self._servers.pop(role).close()
        return statuses["candidate"] if len(statuses) == len(ROLES) else None

    def _start_servers(self) -> None:
        for role in ROLES:
            if role not in self._servers:
                self._servers[role] = _start_server(self._bubblewrap)

    def _close(self) -> None:
        self._bubblewrap = Path()
        while self._servers:
            self._servers.popitem()[1].close()


def _start_server(bubblewrap: Path) -> ServerProcess:
    """With the right to make namespaces where the system grants it, else without, one server a program."""
    try:
        return ServerProcess(bubblewrap)
    except SandboxUnavailable:
        return ServerProcess(bubblewrap, keep_namespace_rights=False)


def _receive_within(report: socket.socket, timeout: float) -> dict[str, Any] | None:
    report.settimeout(timeout)
    try:
        return wire.receive(report)
    except TimeoutError:
        return None
    except EOFError:
        return {"reason": "failed: the judge ended without a verdict"}


def _reason(answer: dict[str, Any] | None, status: int) -> str:
    """The judge's reason, made exact by how the program's process ended; only the judge can say "passed"."""
    if answer is None:
        return "timeout"
    reason = answer["reason"]
    if reason.startswith("forged exit: the program ended") and status < 0 and status != KILLED:
        return f"crashed: signal {-status}"
    return reason
