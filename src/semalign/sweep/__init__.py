"""Sweeps: one configuration, some of its settings varied, several seeds, one folder a run."""

from .axes import Variant, find_variants
from .jobs import Outcome
from .runner import sweep

__all__ = ["Outcome", "Variant", "find_variants", "sweep"]
