"""Layer attribution: which teacher layers matter for a task."""

from .base import Attribution

__all__ = ["Attribution"]
