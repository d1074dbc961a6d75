"""Schedules: in which order the paired layers train."""

from .base import Schedule

__all__ = ["Schedule"]
