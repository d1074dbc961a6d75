"""Comparisons: finished runs and sweeps, side by side, with intervals over seeds and rows."""

from .compare import compare
from .tables import terminal_tables
from .words import lead

__all__ = ["compare", "lead", "terminal_tables"]
