"""Gradient checkpointing: a block keeps what enters it, and runs again in the backward pass for the rest."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from .encoder import encoder_of
from .language_model import LanguageModel


@contextmanager
def recomputing(model: LanguageModel) -> Iterator[None]:
    """Within the block, graphs through the model's blocks hold the blocks' inputs and no activation inside them.

    The same losses and gradients to the bit, dropout too, for a second forward of each block. Backward passes must
    end within the block. Hooks on a block run once, around what is computed again; those inside it run again while
    they are there, and may neither draw random numbers nor keep what they need for a gradient.
    Source: Chen et al. 2016, arXiv:1604.06174.
    """
    blocks = [*model.blocks, *(encoder_of(model).blocks if model.is_encoder_decoder else ())]
    try:
        for block in blocks:
            block.forward = partial(_forward, block.forward)
        yield
    finally:
        for block in blocks:
            del block.forward  # the class's own again


def _forward(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
