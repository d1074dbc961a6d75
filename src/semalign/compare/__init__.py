"""Comparisons: finished runs and sweeps, side by side, with intervals over seeds and rows."""

from .tables import terminal_tables
from .words import lead
from .write import compare

__all__ = ["compare", "lead", "terminal_tables"]
