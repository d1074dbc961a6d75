"""What one process of a comparison between libraries measures of its training; needs nothing but the interpreter.

Both sides run in processes of their own, perhaps in environments of their own, and print one JSON object.
"""

import json
import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

WARM = 2  # steps before the clock starts: the first ones fill pools of memory and caches of kernels
STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Meter:
    """CPU seconds a step and the peak of resident memory, from `start` to the last `step_done`."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.before = 0

    def start(self) -> None:
        """The models are there; training begins."""
        REFS.write_text("5")  # the high-water mark falls back to what is resident now
        self.before = _high_water()

    def step_done(self) -> None:
        self.ends.append(time.process_time())

    def report(self, first_loss: float, *packages: str) -> None:
        print(json.dumps(self.found(first_loss, *packages)), flush=True)

    def found(self, first_loss: float, *packages: str) -> dict[str, Any]:
        n_step = len(self.ends) - WARM
        assert n_step > 0, f"a run has more than {WARM} steps"
        return {
            "step_seconds": (self.ends[-1] - self.ends[WARM - 1]) / n_step,
            "n_step": n_step,
            "first_loss": first_loss,
            "peak_bytes": _high_water() - self.before,
            "whole_bytes": max(_high_water(), 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
            "versions": {name: version(name) for name in packages},
        }


def _high_water() -> int:
    return 1024 * int(next(line.split()[1] for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")))
