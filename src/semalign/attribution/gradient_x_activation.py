"""Layer Gradient x Activation: the first-order change of the loss if a layer's output were removed."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch
from ..models import LanguageModel, embedded, listen, run_trunk
from .base import answer_loss
from .gradients import GradientAttribution


@dataclass(frozen=True, kw_only=True)
class GradientXActivation(GradientAttribution, name="gradient_x_activation"):
    """The paper's attribution: |gradient x activation| of each layer's output, all layers from one backward.

    score_l = mean over examples of the sum over answer tokens and channels. It is the slope where the model stands, so
    a signed score is the loss increase without the layer to first order only. At the site `block_out` the state is the
    whole stream and not what the layer adds to it; there the signed sum of the last layer is 0 by construction where an
    RMS norm follows (the loss does not depend on the scale of its state).
    Source: Gu et al. 2025, arXiv:2510.24208, section 3; the aggregation over tokens and channels is ours.
    """

    source = "Gu et al. 2025, arXiv:2510.24208; Shrikumar et al. 2016, arXiv:1605.01713"

    def products(self, model: LanguageModel, batch: Batch) -> Iterator[Float[Tensor, "b pos d"]]:
        """Gradient times activation at each layer; the embeddings carry the gradient, so weights need none."""
        points = self.points(model)
        embeddings = embedded(model, batch.input_ids).detach().requires_grad_()
        with listen(model, points) as states:
            hidden = run_trunk(model, None, batch.attention_mask, encoder=batch.encoder, embeddings=embeddings)
        loss = answer_loss(model, hidden, batch).sum()
        outputs = [states[point] for point in points]
        gradients = torch.autograd.grad(loss, outputs, allow_unused=True)
        for output, gradient in zip(outputs, gradients, strict=True):
            yield torch.zeros_like(output) if gradient is None else (output * gradient).detach()
