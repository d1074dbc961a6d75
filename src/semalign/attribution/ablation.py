"""Every block skipped in turn: what single-layer ablations share."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch
from ..models import FINAL, LanguageModel, Point, silence, states_of


@torch.no_grad()
def final_states(
    model: LanguageModel, batch: Batch
) -> tuple[Float[Tensor, "b pos d"], Iterator[Float[Tensor, "b pos d"]]]:
    """The normed final states of the whole model, and those without block 0, 1, ... in turn.

    What enters a block is kept from the first pass, so that each further pass begins at the block it skips: all of them
    together cost half a forward a layer.
    """
    entries = [Point("block_out", layer) for layer in range(model.n_layer - 1)]
    states = states_of(model, [*entries, FINAL], batch.input_ids, batch.attention_mask, encoder=batch.encoder)
    return states[FINAL], _without_each(model, batch, [None, *(states[point] for point in entries)])


@torch.no_grad()
def _without_each(
    model: LanguageModel, batch: Batch, entering: list[Tensor | None]
) -> Iterator[Float[Tensor, "b pos d"]]:
    for layer, entry in enumerate(entering):
        with silence(model, [Point("block_delta", layer)]):
            states = states_of(
                model,
                [FINAL],
                batch.input_ids,
                batch.attention_mask,
                encoder=batch.encoder,
                first=layer if entry is not None else 0,
                entry=entry,
            )
        yield states[FINAL]
