"""How time and memory of a training step grow: `python benchmarks/growth.py`, one JSON line a quantity.

One quantity is varied and the others stay: rows of a batch (tokens), paired layers, vocabulary, width of both models.
CPU seconds are medians of steps after a first one, sizes taken in turns; peaks are of a process of their own. The
exponent is the slope of least squares through the logarithms: 1 is proportional, below it something does not grow.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from measure import cpu_seconds, peak_bytes
from recipe_step import Shape

SIZES: dict[str, tuple[int, ...]] = {
    "rows": (2, 4, 8, 16),
    "pairs": (1, 2, 4, 8),
    "n_token": (4096, 8192, 16384, 32768),
    "width": (64, 128, 256, 512),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for quantity, sizes in SIZES.items():
        print(json.dumps(measured(quantity, sizes, options.rounds)), flush=True)
    return 0


def measured(quantity: str, sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    steps = [case(quantity, size) for size in sizes]
    for step in steps:
        step()
    runs = [[cpu_seconds(step) for step in steps] for _ in range(rounds)]
    seconds = [statistics.median(column) for column in zip(*runs, strict=True)]
    peaks = [peak_bytes(case, quantity, size) for size in sizes]
    return {
        "quantity": quantity,
        "sizes": list(sizes),
        "seconds": seconds,
        "peak_bytes": peaks,
        "time_exponent": exponent(sizes, seconds),
        "memory_exponent": exponent(sizes, peaks),
    }


def case(quantity: str, size: int) -> Callable[[], float]:
    return Shape(**{quantity: size}).training_step()


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """k of value = c x size^k by least squares in the logarithms."""
    x, y = ([math.log(value) for value in side] for side in (sizes, values))
    return statistics.linear_regression(x, y).slope


if __name__ == "__main__":
    sys.exit(main())
