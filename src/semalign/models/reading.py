"""How many tokens a model reads: what a method asks of its teacher, whichever way it asks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .language_model import LanguageModel


@contextmanager
def reading(model: LanguageModel) -> Iterator[Callable[[], int]]:
    """A counter of the tokens that go into the model within the block, padding not counted, however deep it runs.

    A token that a generation appends is read once, when the next one is asked for; cached ones are not read again. Of
    an encoder-decoder the tokens of both parts are counted.
    """
    total = torch.zeros((), dtype=torch.int64, device=model.device)

    def hook(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        given = kwargs.get("input_ids", args[0] if args else None)
        n_row, n_position = (kwargs["inputs_embeds"] if given is None else given).shape[:2]
        mask = kwargs.get("attention_mask")
        # the mask covers the cached tokens too, on the left; other than [row, position] it says nothing about padding
        if mask is None or mask.dim() != 2:
            total.add_(n_row * n_position)
        else:
            total.add_(mask[:, -n_position:].sum())

    module = model.module
    parts = [module.get_encoder(), module.get_decoder()] if model.is_encoder_decoder else [module.base_model]
    handles = [part.register_forward_pre_hook(hook, with_kwargs=True) for part in parts]
    try:
        yield lambda: int(total)
    finally:
        for handle in handles:
            handle.remove()
