"""Paired layers one at a time, in an order drawn by chance."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .base import Sequential


@dataclass(frozen=True, kw_only=True)
class RandomOrder(Sequential, name="random_order"):
    """A control: one layer at a time, in an order drawn from a seed."""

    source = "control"

    seed: int | None = None
    """None: the seed of the run."""

    def order(self, layers: Sequence[int]) -> list[int]:
        return random.Random(self.seed or 0).sample(sorted(layers), len(layers))
