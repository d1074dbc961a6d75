"""What each stage of a run costs: seconds, tokens and peak memory."""

import contextlib
import ctypes
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass
class Cost:
    """One stage. `peak_bytes` is the most memory the process held during it (of the GPU where one is used)."""

    stage: str
    seconds: float = 0.0
    tokens: int = 0
    peak_bytes: int = 0
    teacher_tokens: int = 0
    """Tokens that the teacher read for a method, in its stages."""


@dataclass
class Ledger:
    """The costs of a run, stage by stage, in order."""

    costs: list[Cost] = field(default_factory=list)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Cost]:
        """Measure a block; set `.tokens` on the yielded cost."""
        cost = Cost(name)
        _reset_peak()
        started = time.perf_counter()
        try:
            yield cost
        finally:
            cost.seconds += time.perf_counter() - started
            cost.peak_bytes = peak_bytes()
            self.costs.append(cost)

    def plain(self) -> list[dict[str, Any]]:
        return [asdict(cost) for cost in self.costs]


def give_back() -> None:
    """Freed memory goes to the system. glibc keeps it until it is asked: all 425 MB of SmolLM2-135M."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another libc
            ctypes.CDLL(None).malloc_trim(0)


def _reset_peak() -> None:
    """Start a new peak where the system can (Linux), otherwise peaks are those of the whole process so far.

    What an earlier stage freed is given back first, so that a peak is that of its own stage.
    """
    give_back()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # 5 resets the peak resident set size


def peak_bytes() -> int:
    """Peak memory since the last reset, in bytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss counts kilobytes, but bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
