"""Occlusion: how much the loss grows when a block is skipped."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch
from ..models import LanguageModel
from .base import Attribution, answer_loss


@dataclass(frozen=True, kw_only=True)
class Occlusion(Attribution, name="occlusion"):
    """Loss increase, in nats an answer token, when a block's contribution is left out; one forward a layer and batch."""

    source = "single-layer ablation; Zeiler and Fergus 2014, arXiv:1311.2901"

    def score(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "n_layer"]:
        whole = self._loss(model, batches)
        scores = torch.zeros(model.n_layer, dtype=torch.float64)
        for layer in range(model.n_layer):
            with skipped(model, layer):
                scores[layer] = self._loss(model, batches) - whole
        return scores

    @torch.no_grad()
    def _loss(self, model: LanguageModel, batches: Sequence[Batch]) -> float:
        losses = [
            answer_loss(
                model,
                model.module.base_model(
                    input_ids=batch.input_ids, attention_mask=batch.attention_mask
                ).last_hidden_state,
                batch,
            )
            for batch in batches
        ]
        return float(torch.cat(losses).double().mean())


@contextlib.contextmanager
def skipped(model: LanguageModel, layer: int) -> Iterator[None]:
    """While the block lasts, the output of a layer is its input."""

    def pass_through(module: Any, args: tuple, kwargs: dict, output: Any) -> Any:
        state = args[0] if args else kwargs["hidden_states"]
        return (state, *output[1:]) if isinstance(output, tuple) else state

    handle = model.blocks[layer].register_forward_hook(pass_through, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
