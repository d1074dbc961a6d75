"""Layer integrated gradients: what the loss owes to a layer's output on the way from a baseline to what it is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ..data import Batch
from ..models import FINAL, LanguageModel, Point, embedded, listen, run_trunk, states_of
from .base import answer_loss
from .gradients import GradientAttribution


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(GradientAttribution, name="integrated_gradients"):
    """(A - B) times the gradient averaged along the straight line from baseline B to activation A, layer by layer.

    Complete: over all positions and units, prompt included, the products of a layer sum to the loss minus the loss with
    B in the place of A, up to the error of the quadrature. With the baseline `zero` at `block_delta` that is what
    occlusion measures, turned round. A score counts answer positions alone, like Gradient x Activation. The line is
    steep near 0 where a norm follows at once: in a first layer, and at `block_out` everywhere, completeness needs far
    more steps than elsewhere.
    Costs `steps` half passes, forward and backward, a layer and batch.
    Source: Sundararajan et al. 2017, arXiv:1703.01365, eq. 1; for layers as Captum's LayerIntegratedGradients does.
    """

    source = "Sundararajan et al. 2017, arXiv:1703.01365"

    baseline: Literal["zero", "embeddings"] = "zero"
    """`zero`: a layer that puts out nothing; `embeddings`: what it puts out where all input embeddings are 0."""
    steps: Annotated[int, Field(ge=1)] = 16
    """Points of Gauss and Legendre's quadrature on the line."""

    def products(self, model: LanguageModel, batch: Batch) -> Iterator[Float[Tensor, "b pos d"]]:
        points = self.points(model)
        entries = [Point("block_out", layer) for layer in range(model.n_layer - 1)]
        with torch.no_grad():
            states = states_of(model, [*points, *entries], batch.input_ids, batch.attention_mask, encoder=batch.encoder)
        bases = self._bases(model, points, batch)
        for point, entry in zip(points, [None, *entries], strict=True):
            base, entering = bases.get(point), None if entry is None else states[entry]
            change = states[point] if base is None else states[point] - base
            yield change * self._mean_gradient(model, point, batch, entering, base)

    def _bases(self, model: LanguageModel, points: list[Point], batch: Batch) -> Mapping[Point, Tensor]:
        if self.baseline == "zero":
            return {}
        embeddings = torch.zeros_like(embedded(model, batch.input_ids))
        with torch.no_grad(), listen(model, points) as states:
            run_trunk(model, None, batch.attention_mask, encoder=batch.encoder, embeddings=embeddings)
        return states

    def _mean_gradient(
        self, model: LanguageModel, point: Point, batch: Batch, entering: Tensor | None, base: Tensor | None
    ) -> Float[Tensor, "b pos d"]:
        """The gradient of each row's loss by the layer's output, averaged along the line."""
        nodes, weights = np.polynomial.legendre.leggauss(self.steps)
        total = torch.zeros((), dtype=torch.float64, device=model.device)
        for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
            with _on_the_line(model, point, (1 + node) / 2, base):
                states = states_of(
                    model,
                    [point, FINAL],
                    batch.input_ids,
                    batch.attention_mask,
                    encoder=batch.encoder,
                    first=0 if entering is None else point.layer,
                    entry=entering,
                )
            loss = answer_loss(model, states[FINAL], batch).sum()
            total = total + weight / 2 * torch.autograd.grad(loss, states[point])[0].double()
        return total


@contextmanager
def _on_the_line(model: LanguageModel, point: Point, share: float, base: Tensor | None) -> Iterator[None]:
    """The layer puts out base + share (output - base), from which the graph starts."""
    block = model.blocks[point.layer]
    paths = {"attn_out": model.family.attention_site, "mlp_out": model.family.mlp_site}
    module = block.get_submodule(paths[point.site]) if point.site in paths else block
    scale = model.residual_scale if point.site in paths else 1.0

    def hook(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        raw = output[0] if isinstance(output, tuple) else output
        given = args[0] if args else kwargs["hidden_states"]
        fixed = given if point.site == "block_delta" else torch.zeros_like(raw)
        start = 0 if base is None else base.view(raw.shape) / scale
        moved = (fixed + start + share * (raw - fixed - start)).detach().requires_grad_()
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    handle = module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
