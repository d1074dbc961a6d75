"""Semantic maps: which student state means what a teacher state means."""

from .base import Basis, MapContext, SemanticMap, Vocabulary
from .linear import LinearMap

__all__ = ["Basis", "LinearMap", "MapContext", "SemanticMap", "Vocabulary"]
