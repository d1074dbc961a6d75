"""All paired layers train at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from .base import Schedule


@dataclass(frozen=True, kw_only=True)
class Joint(Schedule, name="joint"):
    """One stage: all paired layers train together (version 1 of the paper)."""

    source = "Gu et al. 2025, arXiv:2510.24208 v1"

    def stages(self, layers: Sequence[int]) -> list[tuple[int, ...]]:
        return [tuple(layers)]
