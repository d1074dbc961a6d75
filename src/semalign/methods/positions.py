"""At which positions a term is taken."""

from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from ..data import Batch
from ..losses.base import Target

Positions = Literal["answer", "all"]


def positions_of(batch: Batch, which: Positions) -> Bool[Tensor, "b pos"]:
    """`answer`: where the next token is an answer token. `all`: wherever there is a next token, prompts too.

    Of all positions the first is left out: its state is an attention sink, whose length drowns every other.
    """
    if which == "answer":
        return batch.mask
    real = batch.attention_mask.bool()
    has_next = torch.zeros_like(real)
    has_next[:, :-1] = real[:, 1:]
    has_next[:, 0] = batch.mask[:, 0]
    return has_next


def asked_positions(batch: Batch, target: Target, *, taught: Positions, labelled: Positions) -> Bool[Tensor, "b pos"]:
    """Where an output is asked for: gold tokens at `labelled`, the teacher at `taught` where it can be followed."""
    return positions_of(batch, labelled) if target == "labels" else followed_positions(batch, taught)


def followed_positions(batch: Batch, which: Positions) -> Bool[Tensor, "b pos"]:
    """Those of them at which the teacher has read the same text: all, where both models read the same tokens."""
    return positions_of(batch, which) & batch.aligned
