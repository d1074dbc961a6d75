"""Several answers to one prompt: drawn at a temperature, and what they say about passing at least once in k."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Draws:
    """How often each prompt is answered, and how: temperature 0 is greedy."""

    count: int = 1
    temperature: float = 0.0
    seed: int = 0

    @property
    def settings(self) -> dict[str, float | int | bool]:
        """What lm-eval's `generation_kwargs` say of it."""
        if not self.temperature:
            return {"do_sample": False}
        return {"do_sample": True, "temperature": self.temperature, "seed": self.seed}


def pass_at_k(n: int, n_passed: int, k: int) -> float:
    """The chance that one of k samples passes, from n >= k samples of which `n_passed` do; unbiased.

    Source: Chen et al. 2021, arXiv:2107.03374, eq. 1.
    """
    if not 0 < k <= n:
        raise ValueError(f"pass@{k} needs at least {k} samples, got {n}")
    return 1.0 - math.comb(n - n_passed, k) / math.comb(n, k)
