"""Cosine distance of the logits to the one-hot gold token."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from .base import Loss, chosen, upcast


@dataclass(frozen=True, kw_only=True)
class OnehotCosine(Loss, name="onehot_cosine"):
    """1 - z_y / |z|, mean over answer tokens; in [0, 2]. Not a proper scoring rule: it need not improve the likelihood.

    Source: Gu et al. 2025, arXiv:2510.24208 v1, the output term.
    """

    source = "Gu et al. 2025, arXiv:2510.24208 v1"
    target = "labels"

    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Int[Tensor, "*batch pos"], mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        logits = upcast(chosen(h, mask))
        gold = logits.gather(-1, chosen(target, mask).unsqueeze(-1)).squeeze(-1)
        return (1 - gold / logits.norm(dim=-1).clamp(min=1e-8)).sum()
