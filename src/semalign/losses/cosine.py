"""Cosine distance of a student state to the mapped teacher state."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from .base import Loss, upcast


@dataclass(frozen=True, kw_only=True)
class Cosine(Loss, name="cosine"):
    """1 - cos(state, mapped teacher state), mean over answer tokens; in [0, 2], blind to the norms of both.

    Source: Gu et al. 2025, arXiv:2510.24208 v1, the latent term.
    """

    source = "Gu et al. 2025, arXiv:2510.24208 v1"
    target = "state"

    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Float[Tensor, "*batch pos d"], mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        return (1 - cosine_similarity(upcast(h[mask]), upcast(target[mask]), dim=-1)).sum()
