"""Layer pairing: which teacher layer teaches which student layer."""

from .base import Pair, Pairing, PairingContext

__all__ = ["Pair", "Pairing", "PairingContext"]
