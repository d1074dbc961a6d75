"""Squared distance to the target relative to the target's size."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .base import Loss, upcast


@dataclass(frozen=True, kw_only=True)
class RelativeMSE(Loss, name="relative_mse"):
    """|state - target|^2 / |target|^2, mean over answer tokens; 0 at the target, 1 for a zero state.

    Norms matter here: use a map that keeps them (`logit`, `identity`).
    Source: Romero et al. 2014, arXiv:1412.6550 (FitNets), made scale-free.
    """

    source = "Romero et al. 2014, arXiv:1412.6550"
    target = "state"

    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Float[Tensor, "*batch pos d"], mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        state, goal = upcast(h[mask]), upcast(target[mask])
        size = goal.square().sum(-1).clamp(min=torch.finfo(goal.dtype).tiny)
        return ((state - goal).square().sum(-1) / size).sum()
