"""Losses that look at how the states of one sequence lie to each other: what they share."""

import abc
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .base import Loss, upcast

TINY = 1e-12  # below it a configuration of states is a single point and has no shape


@dataclass(frozen=True, kw_only=True)
class SequenceLoss(Loss):
    """A layer loss whose unit is a sequence with at least `at_least` answer tokens; shorter ones do not count."""

    target = "state"
    unit: ClassVar[Literal["token", "sequence"]] = "sequence"
    sees_norm = True
    any_width = True

    at_least: ClassVar[int] = 2
    """Answer tokens a sequence needs before the loss means anything."""

    def units(self, mask: Bool[Tensor, "*batch pos"]) -> int:
        return int((mask.sum(-1) >= self.at_least).sum())

    def total(
        self,
        h: Float[Tensor, "*batch pos d"],
        target: Float[Tensor, "*batch pos d_t"],
        mask: Bool[Tensor, "*batch pos"],
    ) -> Float[Tensor, ""]:
        h, target, mask = (x if mask.dim() > 1 else x.unsqueeze(0) for x in (h, target, mask))
        enough = mask.sum(-1) >= self.at_least
        if not enough.any():
            return upcast(h[mask]).sum() * 0
        states, keep = answer_states(h[enough], mask[enough])
        targets, _ = answer_states(target[enough], mask[enough])
        return self.distances(centred(states, keep), centred(targets, keep), keep).sum()

    @abc.abstractmethod
    def distances(
        self, h: Float[Tensor, "b n d"], target: Float[Tensor, "b n d_t"], keep: Bool[Tensor, "b n"]
    ) -> Float[Tensor, " b"]:
        """One number a sequence, from centred states that are 0 where `keep` is False."""


def answer_states(
    h: Float[Tensor, "b pos d"], mask: Bool[Tensor, "b pos"]
) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
    """The states of the mask moved to the front, 0 behind them, and where they are; n is the largest number of them."""
    longest = int(mask.sum(-1).max())
    order = (~mask).int().argsort(dim=-1, stable=True)[:, :longest]
    keep = mask.gather(1, order)
    gathered = upcast(h).gather(1, order.unsqueeze(-1).expand(-1, -1, h.shape[-1]))
    return torch.where(keep.unsqueeze(-1), gathered, 0), keep


def centred(h: Float[Tensor, "b n d"], keep: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
    """Minus the mean over the kept positions of each sequence."""
    mean = h.sum(1, keepdim=True) / keep.sum(-1)[:, None, None]
    return torch.where(keep.unsqueeze(-1), h - mean, 0)


def shape_distance(a: Float[Tensor, "b n n"], b: Float[Tensor, "b n n"]) -> Float[Tensor, " b"]:
    """|a/|a| - b/|b||^2 in the Frobenius norm: 2 - 2 cos of the two matrices, in [0, 4]."""
    return (unit(a) - unit(b)).square().sum((1, 2))


def unit(a: Float[Tensor, "b n m"]) -> Float[Tensor, "b n m"]:
    """Each matrix at Frobenius norm 1."""
    return a / a.flatten(1).norm(dim=1).clamp(min=TINY)[:, None, None]
