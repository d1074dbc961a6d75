"""Answers drawn from a model: a stream of random numbers for each row, so that none depends on its batch."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessor

# Greedy and nothing else: Qwen's generation_config carries a repetition penalty that would apply to greedy search too.
GREEDY: dict[str, Any] = {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0, "use_cache": True}


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

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows of the batch alone."""
        self._streams = [self._streams[row] for row in rows]


def stream_seed(*parts: object) -> int:
    """A seed that depends on what is asked and nothing else."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7])
