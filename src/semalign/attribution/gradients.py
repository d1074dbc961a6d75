"""Attributions made of gradients: a product for every token and hidden unit, folded into a score a unit or a layer."""

import abc
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ..data import Batch
from ..models import LanguageModel, Point, Site, check_layer_site
from .base import Attribution, fixed_weights

Aggregation = Literal["absolute", "signed", "l2"]


@dataclass(frozen=True, kw_only=True)
class GradientAttribution(Attribution, abc.ABC):
    """Scores from one product a token and hidden unit: how much of the loss is due to what that unit holds there.

    A row's unit score folds the products of its answer tokens (sum of absolute values, signed sum, or the root of the
    sum of squares), its layer score folds the unit scores the same way, and both are averaged over rows. Signed sums
    are turned round, so that, as in an ablation, a score above 0 belongs to what the loss would grow without.
    """

    site: Site = "mlp_out"
    aggregation: Aggregation = "absolute"
    top_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Score a layer by this share of its units alone, those with the highest scores in size; None: by all of them."""

    def __post_init__(self) -> None:
        check_layer_site(self.site)

    @abc.abstractmethod
    def products(self, model: LanguageModel, batch: Batch) -> Iterator[Float[Tensor, "b pos d"]]:
        """For each layer in order, what it adds to each row's loss at every position, prompt and padding included."""

    def score(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "n_layer"]:
        rows = self._rows(model, batches)
        if self.top_share is not None:
            count = math.ceil(self.top_share * rows.shape[-1])
            chosen = rows.mean(0).abs().topk(count, dim=-1).indices
            rows = rows.gather(-1, chosen.expand(rows.shape[0], -1, -1))
        return self._fold(rows, -1).mean(0)

    def unit_scores(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "n_layer width"]:
        """One score a hidden unit of each layer, in float64 on the CPU; `absolute` and `signed` ones sum to `score`."""
        return self._rows(model, batches).mean(0)

    def points(self, model: LanguageModel) -> list[Point]:
        return [Point(self.site, layer) for layer in range(model.n_layer)]

    def _rows(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "row n_layer width"]:
        """Unit scores of every row in float64 on the CPU: 8 bytes a row, layer and unit."""
        parts = []
        with fixed_weights(model.module), torch.enable_grad():
            for batch in batches:
                keep = batch.mask.unsqueeze(-1)
                folded = [self._fold(-product.double() * keep, 1).cpu() for product in self.products(model, batch)]
                parts.append(torch.stack(folded, dim=1))
        return torch.cat(parts)

    def _fold(self, values: Tensor, dim: int) -> Tensor:
        if self.aggregation == "absolute":
            return values.abs().sum(dim)
        return values.sum(dim) if self.aggregation == "signed" else values.norm(dim=dim)
