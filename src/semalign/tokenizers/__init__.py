"""Two tokenizers, one text: what tokens stand for, where they end, and which tokens and positions are the same."""

from .align import Alignment, Spans, align
from .common_suffix import common_suffix
from .ends import NOWHERE, ByteEnds, byte_ends
from .pieces import token_bytes

__all__ = [
    "NOWHERE",
    "Alignment",
    "ByteEnds",
    "Spans",
    "align",
    "byte_ends",
    "common_suffix",
    "token_bytes",
]
