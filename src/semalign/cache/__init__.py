"""Rows of tensors on disk: in shards that are written whole or not at all, checked whenever they are read."""

from .precision import Precision, n_byte, pack, packed_names, unpack
from .shards import Row, Shards, index_bytes

__all__ = ["Precision", "Row", "Shards", "index_bytes", "n_byte", "pack", "packed_names", "unpack"]
