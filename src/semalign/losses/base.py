"""What a loss is: a sum over units (tokens, or sequences) divided by their number."""

import abc
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Shaped
from pydantic import Field
from torch import Tensor

from ..strategy import Strategy

Target = Literal["state", "labels", "teacher_logits"]
Vocabulary = Literal["shared", "own", "first_token"]
"""Whose next tokens are compared: those that both models have; each model's own, all of them; or all the student's, the
probability of each of the teacher's counted for the one that its text begins with."""


@dataclass(frozen=True, kw_only=True)
class Loss(Strategy, abc.ABC, kind="loss"):
    """How far a student state or output is from its target; 0 where it is reached.

    Losses are sums over units so that gradient accumulation is exact: the sum of the totals of N small batches over the
    sum of their units is the loss of the one large batch.
    """

    target: ClassVar[Target]
    """What it is compared with: a mapped teacher state, gold token ids, or the teacher's logits."""
    unit: ClassVar[Literal["token", "sequence"]] = "token"
    """What the mean is over: answer tokens, or the sequences that have enough of them."""
    sees_norm: ClassVar[bool] = False
    """Whether the length of a target state makes a difference."""
    any_width: ClassVar[bool] = False
    """Whether states of two widths can be compared without a map."""

    weight: Annotated[float, Field(gt=0)] = 1.0

    @property
    def compares(self) -> Vocabulary:
        """Which next tokens count, for a loss that looks at logits."""
        return "shared"

    @abc.abstractmethod
    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Any, mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        """The loss summed over the units of the mask, in float32 or better."""

    def units(self, mask: Bool[Tensor, "*batch pos"]) -> int:
        """How many units the mask holds (answer tokens, unless a loss says otherwise)."""
        return int(mask.sum())

    def __call__(
        self, h: Float[Tensor, "*batch pos d"], target: Any, mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        """The mean over units; 0 where the mask is empty."""
        return self.total(h, target, mask) / max(self.units(mask), 1)


def upcast(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """float32 statistics for half-precision input; float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def chosen(x: Shaped[Tensor, "*batch_pos_d"], mask: Bool[Tensor, "*batch pos"]) -> Shaped[Tensor, "n *d"]:
    """x[mask]; no copy where all are chosen."""
    return x.flatten(0, mask.dim() - 1) if bool(mask.all()) else x[mask]
