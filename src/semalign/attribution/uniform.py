"""A control: every layer matters the same."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch
from ..models import LanguageModel
from .base import Attribution


@dataclass(frozen=True, kw_only=True)
class Uniform(Attribution, name="uniform"):
    """A control: the same score for every layer."""

    source = "control"
    finds_planted = False

    def score(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "n_layer"]:
        return torch.ones(model.n_layer, dtype=torch.float64)
