"""From the deepest paired layer to the shallowest, one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from .base import Sequential


@dataclass(frozen=True, kw_only=True)
class DeepToShallow(Sequential, name="deep_to_shallow"):
    """Deep to shallow, one layer at a time: what is below a training layer is still as it was."""

    source = "control of the frontier's order"

    def order(self, layers: Sequence[int]) -> list[int]:
        return sorted(layers, reverse=True)
