"""Several answers to one prompt: drawn at a temperature, and what they say about passing at least once in k."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessor


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


class Drawn(LogitsProcessor):
    """Adds Gumbel noise to logits over a temperature: the largest is then a draw from their softmax.

    Each row has a stream of its own, so an answer does not depend on the batch it is made in.
    Source: Gumbel 1954, Statistical Theory of Extreme Values.
    """

    def __init__(self, temperature: float, seeds: Sequence[int]) -> None:
        self.temperature = temperature
        self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Int[Tensor, "b pos"], scores: Float[Tensor, "b n_row"]) -> Float[Tensor, "b n_row"]:
        waits = [torch.empty(scores.shape[1]).exponential_(generator=stream) for stream in self._streams]
        return scores.float() / self.temperature - torch.stack(waits).log().to(scores.device)


def stream_seed(*parts: object) -> int:
    """A seed that depends on what is asked and nothing else."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7])


def pass_at_k(n: int, n_passed: int, k: int) -> float:
    """The chance that one of k samples passes, from n >= k samples of which `n_passed` do; unbiased.

    Source: Chen et al. 2021, arXiv:2107.03374, eq. 1.
    """
    if not 0 < k <= n:
        raise ValueError(f"pass@{k} needs at least {k} samples, got {n}")
    return 1.0 - math.comb(n - n_passed, k) / math.comb(n, k)
