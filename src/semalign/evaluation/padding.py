"""Rows of token ids as one tensor."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def padded(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device, *, side: Literal["left", "right"] = "right"
) -> tuple[Int[Tensor, "n_row pos"], Int[Tensor, "n_row pos"]]:
    """The rows padded on one side, and the mask of what is real."""
    tokens = [torch.tensor(list(row)) for row in rows]
    ids = pad_sequence(tokens, batch_first=True, padding_value=pad, padding_side=side)
    mask = pad_sequence([torch.ones_like(row) for row in tokens], batch_first=True, padding_side=side)
    return ids.to(device), mask.to(device)
