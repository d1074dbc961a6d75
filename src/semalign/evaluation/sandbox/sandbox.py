"""Runs programs against tests: the program in one bubblewrap, the tests in another, plain data in between."""

import contextlib
import math
import select
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

KILLED = -9
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
            self._stop_servers()
            raise
        if not verdict.passed:
            self._stop_servers()
            raise SandboxUnavailable(f"no sandbox for generated code: a trial program did not pass ({verdict.reason})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_servers()

    def run(self, program: str, tests: str, timeout: float = 3.0) -> Verdict:
        """Runs `tests` with the names of `program`; `timeout` is wall seconds for both together.

        The tests see functions and classes of the program as remote objects. Values cross as plain builtin data; an
        instance of a program's class is equal only to itself.
        """
        if not self._bubblewrap.name:
            raise ValueError("the sandbox is not open; use `with Sandbox() as box:`")
        with self._lock:
            start = time.perf_counter()
            try:
                answer, status = self._try(program, tests, timeout)
            except OSError:  # a server was gone before it had the job
                answer, status = self._try(program, tests, timeout)
            seconds = time.perf_counter() - start
        reason = _reason(answer, status)
        return Verdict(passed=reason == "passed", reason=reason, seconds=seconds)

    def _try(self, program: str, tests: str, timeout: float) -> tuple[dict[str, Any] | None, int]:
        """The judge's answer, None when time ran out, and how the program's process ended."""
        cpu_seconds = math.ceil(timeout) + 1
        self._start_servers()
        try:
            with contextlib.ExitStack() as stack:
                for_judge, for_candidate, report, for_report = _two_pairs(stack)
                job = {"role": "candidate", "text": program, "cpu_seconds": cpu_seconds}
                self._servers["candidate"].start(job, [for_candidate.fileno()])
                job = {"role": "judge", "text": tests, "cpu_seconds": cpu_seconds}
                self._servers["judge"].start(job, [for_judge.fileno(), for_report.fileno()])
                for_judge.close()
                for_candidate.close()
                for_report.close()
                answer = _answer(report, timeout)
        finally:
            status = self._end_jobs()
        return answer, status

    def _end_jobs(self) -> int:
        """The candidate's exit status; servers that failed or can serve only once are replaced before the next run."""
        statuses = {}
        for role, server in list(self._servers.items()):
            try:
                statuses[role] = server.end()
                reusable = server.separates
            except (EOFError, OSError):
                reusable = False
            if not reusable:
                self._servers.pop(role).close()
        return statuses.get("candidate", KILLED)

    def _start_servers(self) -> None:
        for role in ("candidate", "judge"):
            if role not in self._servers:
                self._servers[role] = _start_server(self._bubblewrap)

    def _stop_servers(self) -> None:
        while self._servers:
            self._servers.popitem()[1].close()


def _start_server(bubblewrap: Path) -> ServerProcess:
    """With the right to make namespaces where the system grants it, else without, one server a program."""
    try:
        return ServerProcess(bubblewrap)
    except SandboxUnavailable:
        return ServerProcess(bubblewrap, keep_namespace_rights=False)


def _two_pairs(stack: contextlib.ExitStack) -> list[socket.socket]:
    sockets = [*socket.socketpair(), *socket.socketpair()]
    return [stack.enter_context(one) for one in sockets]


def _answer(report: socket.socket, timeout: float) -> dict[str, Any] | None:
    ready, _, _ = select.select([report], [], [], timeout)
    if not ready:
        return None
    try:
        return wire.receive(report)
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
