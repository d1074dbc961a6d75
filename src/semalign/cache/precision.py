"""How states are stored: as they are in float32, rounded to bfloat16, or as int8 with a scale for each token."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Precision = Literal["float32", "bfloat16", "int8"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
_LARGEST = 127  # of int8, so that both sides of 0 are alike


def pack(name: str, h: Float[Tensor, "n d"], precision: Precision) -> dict[str, Tensor]:
    """What is stored of states, on the CPU.

    float32 is exact for states that are at most float32. bfloat16 is off by at most 2^-8 of each coordinate, int8 by at
    most 1/254 of the largest coordinate of its token; a state that is not finite comes back as one that is not.
    """
    h = h.detach().cpu()
    if precision != "int8":
        return {name: h.to(_DTYPES[precision])}
    h = h.float()
    scale = h.abs().amax(-1) / _LARGEST
    steps = h / torch.where(scale == 0, 1, scale).unsqueeze(-1)
    return {name: steps.nan_to_num().round().to(torch.int8), _scale_of(name): scale}


def unpack(name: str, stored: Mapping[str, Tensor], dtype: torch.dtype) -> Float[Tensor, "n d"]:
    """The states again."""
    h = stored[name]
    if h.dtype == torch.int8:
        h = h.float() * stored[_scale_of(name)].unsqueeze(-1)
    return h.to(dtype)


def packed_names(name: str, precision: Precision) -> list[str]:
    """The tensors that states are stored in."""
    return [name, _scale_of(name)] if precision == "int8" else [name]


def n_byte(width: int, precision: Precision) -> int:
    """Bytes of one state."""
    return width * _DTYPES[precision].itemsize + (torch.float32.itemsize if precision == "int8" else 0)


def _scale_of(name: str) -> str:
    return f"{name}.scale"
