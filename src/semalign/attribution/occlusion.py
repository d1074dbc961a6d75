"""Occlusion: how much the loss grows when a block is skipped."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch
from ..models import LanguageModel
from .ablation import final_states
from .base import Attribution, answer_loss


@dataclass(frozen=True, kw_only=True)
class Occlusion(Attribution, name="occlusion"):
    """Loss increase, in nats an answer token, when a block's contribution is left out.

    Costs half a forward a layer and batch. Below 0 for a block that the answers are better without.
    """

    source = "single-layer ablation; Zeiler and Fergus 2014, arXiv:1311.2901"

    def score(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, " n_layer"]:
        return self.rows(model, batches).mean(0)

    @torch.no_grad()
    def rows(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "row n_layer"]:
        """The loss increase of every row, in the order of the batches; in float64 on the CPU."""
        parts = []
        for batch in batches:
            whole, ablated = final_states(model, batch)
            losses = torch.stack([answer_loss(model, hidden, batch).double().cpu() for hidden in ablated], dim=1)
            parts.append(losses - answer_loss(model, whole, batch).double().cpu().unsqueeze(1))
        return torch.cat(parts)
