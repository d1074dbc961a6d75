"""One sandbox for many programs, and the check that a hostile one harmed neither host nor next program."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from semalign.evaluation.sandbox import Sandbox, Verdict

HONEST = ("def square(x):\n    return x * x", "assert square(7) == 49")
MARKER = "semalign-hostile-marker"
PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/usr", "/usr/lib", "/", str(Path.home()), ".")
TESTS = "assert f(1) == 1234567\nassert f(2) == 7654321"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """Skipped only on a person's machine: on a build server a missing sandbox is a failure."""
    reason = Sandbox.available()
    if reason and not os.environ.get("CI"):
        pytest.skip(reason)
    with Sandbox() as open_box:
        yield open_box


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "canary"
    path.write_text("unchanged")
    return path


@pytest.fixture
def attack(box: Sandbox, canary: Path) -> Callable[..., Verdict]:
    """Runs a hostile program, asserts that it failed and did no harm, and gives the verdict."""

    def run(program: str, tests: str = TESTS, timeout: float = 1.0) -> Verdict:
        n_before = _n_processes(box)
        verdict = box.run(program.replace("CANARY", str(canary)), tests, timeout=timeout)
        assert not verdict.passed
        assert verdict.reason != "passed"
        honest = box.run(*HONEST, timeout=10.0)
        assert honest.passed, honest.reason
        assert _n_processes(box) == n_before
        assert canary.read_text() == "unchanged"
        assert [path.name for path in canary.parent.iterdir()] == ["canary"]
        assert not [place for place in PLACES if Path(place, MARKER).exists()]
        return verdict

    return run


def _n_processes(box: Sandbox) -> int:
    """Processes of the sandbox that the host can see, by their parents."""
    parents = dict(_parent(entry) for entry in os.listdir("/proc") if entry.isdigit())
    family = {server._process.pid for server in box._servers.values()}
    while children := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= children
    return len(family)


def _parent(pid: str) -> tuple[int, int]:
    try:
        after_name = Path("/proc", pid, "stat").read_text().rpartition(")")[2]
    except (FileNotFoundError, ProcessLookupError):
        return int(pid), 0
    return int(pid), int(after_name.split()[1])
