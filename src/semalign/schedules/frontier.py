"""From the shallowest paired layer to the deepest, one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from .base import Sequential


@dataclass(frozen=True, kw_only=True)
class Frontier(Sequential, name="frontier"):
    """Shallow to deep, one layer at a time: layers below keep what they learned, layers above what they were.

    Source: Gu et al. 2026, Findings of ACL 2026 and arXiv:2510.24208 v2; a reconstruction from the abstracts.
    """

    source = "Gu et al. 2026, Findings of ACL 2026; reconstruction from the abstract"

    def order(self, layers: Sequence[int]) -> list[int]:
        return sorted(layers)
