"""Layer Gradient x Activation: the first-order change of the loss if a layer's output were removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch
from ..errors import UserError
from ..models import LanguageModel, Point, Site, listen
from .base import Attribution, answer_loss


@dataclass(frozen=True, kw_only=True)
class GradientXActivation(Attribution, name="gradient_x_activation"):
    """The paper's attribution: |gradient x activation| of each layer's output, all layers from one backward.

    score_l = mean over examples of the sum over answer tokens and channels. At the site `block_out` the last layer of a
    network with an RMS norm on top has the signed sum 0 by construction (the loss does not depend on the scale of its
    state): rank by `absolute` or `l2` there.
    Source: Gu et al. 2025, arXiv:2510.24208, section 3; the aggregation over tokens and channels is ours.
    """

    source = "Gu et al. 2025, arXiv:2510.24208; Shrikumar et al. 2016, arXiv:1605.01713"

    site: Site = "mlp_out"
    aggregation: Literal["absolute", "signed", "l2"] = "absolute"

    def __post_init__(self) -> None:
        if self.site == "final":
            raise UserError("site 'final' belongs to no layer; choose mlp_out, attn_out, block_delta or block_out")

    def score(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "n_layer"]:
        points = [Point(self.site, layer) for layer in range(model.n_layer)]
        total, n_example = torch.zeros(model.n_layer, dtype=torch.float64), 0
        for batch in batches:
            products = self._products(model, points, batch)
            keep = batch.mask.unsqueeze(-1)
            total += torch.stack([self._aggregate(product * keep) for product in products]).double().cpu()
            n_example += batch.input_ids.shape[0]
        return total / n_example

    def _products(self, model: LanguageModel, points: list[Point], batch: Batch) -> list[Tensor]:
        """Gradient times activation at each point; the embeddings carry the gradient, so frozen weights stay frozen."""
        with torch.enable_grad():
            embeddings = model.module.get_input_embeddings()(batch.input_ids).detach().requires_grad_()
            with listen(model, points) as states:
                hidden = model.module.base_model(
                    inputs_embeds=embeddings, attention_mask=batch.attention_mask, use_cache=False
                )
            loss = answer_loss(model, hidden.last_hidden_state, batch).sum()
            outputs = [states[point] for point in points]
            gradients = torch.autograd.grad(loss, outputs, allow_unused=True)
        return [
            torch.zeros_like(output) if gradient is None else (output * gradient).detach()
            for output, gradient in zip(outputs, gradients, strict=True)
        ]

    def _aggregate(self, product: Float[Tensor, "b pos d"]) -> Float[Tensor, ""]:
        if self.aggregation == "absolute":
            return product.double().abs().sum()
        if self.aggregation == "signed":
            return product.double().sum()
        return product.double().square().sum((1, 2)).sqrt().sum()
