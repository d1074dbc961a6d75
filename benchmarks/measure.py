"""What all benchmarks share: alternated timings of two functions, and the peak of memory of one in its own process.

Seconds are CPU seconds of the process on one thread: on a busy machine they say what the work costs, where wall-clock
time says who else works. Ratios are medians of the ratios of neighbouring runs.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def cpu_seconds(run: Callable[[], Any]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def alternated(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> dict[str, Any]:
    """Seconds of both, run in turns after one run of each that does not count; `ratio` is ours over theirs."""
    ours(), theirs()
    runs = []
    for i in range(rounds):
        first, second = (ours, theirs) if i % 2 == 0 else (theirs, ours)
        pair = [cpu_seconds(first), cpu_seconds(second)]
        runs.append(pair if i % 2 == 0 else pair[::-1])
    ratios = [a / b for a, b in runs]
    seconds, reference = (statistics.median(side) for side in zip(*runs, strict=True))
    return {"ratio": statistics.median(ratios), "ratios": ratios, "seconds": seconds, "reference_seconds": reference}


def peak_bytes(make: Callable[..., Callable[[], Any]], *arguments: Any) -> int:
    """How far the resident memory of a fresh process rises over what `make` leaves, while what it returns runs once."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_in_child, args=(there, make, arguments))
    child.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        child.join()
        raise SystemExit(f"a process whose memory was measured ended with {child.exitcode}") from None
    finally:
        child.join()


def _in_child(pipe: Any, make: Callable[..., Callable[[], Any]], arguments: tuple) -> None:
    torch.set_num_threads(1)
    run = make(*arguments)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls back to what is resident now
    before = _high_water()
    run()
    pipe.send(_high_water() - before)


def _high_water() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
