"""Semantic maps: which student state means what a teacher state means."""

from .base import Basis, SemanticMap, Vocabulary

__all__ = ["Basis", "SemanticMap", "Vocabulary"]
