"""A fork server in its own bubblewrap, seen from the host."""

import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from semalign.evaluation.sandbox.bubblewrap import INSTALL, SandboxUnavailable, command
from semalign.evaluation.sandbox.inside import wire

START_SECONDS = 20.0  # 0.05 is usual; a loaded machine takes longer
LEAVE_SECONDS = 2.0
END_SECONDS = 5.0  # to kill and clear away what a program started


class ServerProcess:
    """Starts jobs inside; `status` returns when the job and everything it started are gone."""

    def __init__(self, bubblewrap: Path, *, keep_namespace_rights: bool = True) -> None:
        self._control, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as errors, theirs:
            self._process = subprocess.Popen(
                command(bubblewrap, keep_namespace_rights=keep_namespace_rights),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                close_fds=True,
            )
            theirs.close()
            self.separates = self._greeting(errors)

    def _greeting(self, errors: Any) -> bool:
        """Whether the server gives each job its own namespaces; if not, it may serve only one."""
        self._control.settimeout(START_SECONDS)
        try:
            return wire.receive(self._control)["separate"]
        except (EOFError, OSError) as error:
            self.close()
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines() or [str(error)]
            raise SandboxUnavailable(_explanation(lines[-1])) from None

    def start(self, job: dict[str, Any], descriptors: list[int]) -> None:
        """OSError when the server is gone."""
        self._control.settimeout(END_SECONDS)
        socket.send_fds(self._control, [b"j"], descriptors)
        wire.send(self._control, job)

    def end(self) -> None:
        """OSError when the server is gone."""
        wire.send(self._control, "end")

    def status(self) -> int:
        """The exit status of the job that was ended, negative for a signal. EOFError or OSError as above."""
        return wire.receive(self._control)["status"]

    def close(self) -> None:
        """The server leaves when its socket closes, bubblewrap after it; one that hangs is killed with all in it."""
        self._control.close()
        try:
            self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _explanation(line: str) -> str:
    if any(word in line.lower() for word in ("namespace", "uid map", "permission", "not permitted", "no space")):
        return (
            f"no sandbox for generated code: user namespaces are off ({line}); an administrator can allow them with "
            "`sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0`, and in a "
            "container start it with `--security-opt seccomp=unconfined`"
        )
    return f"no sandbox for generated code: bubblewrap did not start ({line}); {INSTALL}, version 0.8 or newer"
