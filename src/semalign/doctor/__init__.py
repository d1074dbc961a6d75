"""A run examined before anything is trained: findings with what to do, and what each stage will take."""

from .examine import Diagnosis, examine
from .finding import Finding

__all__ = ["Diagnosis", "Finding", "examine"]
