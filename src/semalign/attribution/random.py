"""A control: layers ranked by chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch
from ..models import LanguageModel
from .base import Attribution


@dataclass(frozen=True, kw_only=True)
class Random(Attribution, name="random"):
    """A control: scores in [0, 1) drawn from a seed."""

    source = "control"
    finds_planted = False

    seed: int | None = None
    """None: the run's seed (0 outside a run)."""

    def score(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "n_layer"]:
        generator = torch.Generator().manual_seed(self.seed or 0)
        return torch.rand(model.n_layer, generator=generator, dtype=torch.float64)
