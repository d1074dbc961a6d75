"""Squared distance of a student state to the mapped teacher state."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from .base import Loss, upcast


@dataclass(frozen=True, kw_only=True)
class MSE(Loss, name="mse"):
    """|state - target|^2 / |target|^2, mean over answer tokens; 0 or more, 1 for a state of zeros.

    Relative to the target, so that layers of small and of large states count the same. Unlike the cosine it sees
    lengths: it needs a map that keeps them, or `norm: teacher` or `student`.
    Source: Romero et al. 2015, arXiv:1412.6550 (FitNets), here normalised.
    """

    source = "Romero et al. 2015, arXiv:1412.6550, normalised"
    target = "state"
    sees_norm = True

    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Float[Tensor, "*batch pos d"], mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        state, aim = upcast(h[mask]), upcast(target[mask])
        return ((state - aim).square().sum(-1) / aim.square().sum(-1).clamp(min=1e-12)).sum()
