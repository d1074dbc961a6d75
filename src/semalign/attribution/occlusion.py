"""Occlusion: how much the loss grows when a block is skipped."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch
from ..models import LanguageModel, Point, silence
from .base import Attribution, answer_loss


@dataclass(frozen=True, kw_only=True)
class Occlusion(Attribution, name="occlusion"):
    """Loss increase, in nats an answer token, when a block's contribution is left out.

    Costs one forward a layer and batch.
    """

    source = "single-layer ablation; Zeiler and Fergus 2014, arXiv:1311.2901"

    def score(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, " n_layer"]:
        whole = _loss(model, batches)
        scores = torch.zeros(model.n_layer, dtype=torch.float64)
        for layer in range(model.n_layer):
            with silence(model, [Point("block_delta", layer)]):
                scores[layer] = _loss(model, batches) - whole
        return scores


@torch.no_grad()
def _loss(model: LanguageModel, batches: Sequence[Batch]) -> float:
    """Mean over examples."""
    losses = []
    for batch in batches:
        output = model.module.base_model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False
        )
        losses.append(answer_loss(model, output.last_hidden_state, batch))
    return float(torch.cat(losses).double().mean())
