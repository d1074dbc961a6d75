"""Cross-entropy of the gold tokens."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from .base import Loss, chosen, upcast


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss, name="cross_entropy"):
    """Cross-entropy of the gold tokens, in nats an answer token."""

    source = "supervised fine-tuning"
    target = "labels"

    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Int[Tensor, "*batch pos"], mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        return cross_entropy(upcast(chosen(h, mask)), chosen(target, mask), reduction="sum")
