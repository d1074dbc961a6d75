"""Comparisons: methods on the same budget, or finished runs and sweeps, side by side, with intervals."""

from .runner import Compared, compare_methods
from .tables import terminal_tables
from .words import lead
from .write import compare

__all__ = ["Compared", "compare", "compare_methods", "lead", "terminal_tables"]
