"""Diagnostics: what a student has taken over from its teacher, measured before, through and after training."""

from .probe import Probe

__all__ = ["Probe"]
