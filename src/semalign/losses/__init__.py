"""Losses: how far a state or an output is from its target."""

from .base import Loss

__all__ = ["Loss"]
