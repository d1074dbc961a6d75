"""Two tokenizers, one text: what tokens stand for, where they end, and which tokens and positions are the same."""

from .align import Alignment, Spans, align
from .common_suffix import common_suffix
from .decompose import decompose
from .ends import NOWHERE, ByteEnds, byte_ends
from .numerals import Numerals
from .pieces import token_bytes
from .vocabulary import Matched, match

__all__ = [
    "NOWHERE",
    "Alignment",
    "ByteEnds",
    "Matched",
    "Numerals",
    "Spans",
    "align",
    "byte_ends",
    "common_suffix",
    "decompose",
    "match",
    "token_bytes",
]
