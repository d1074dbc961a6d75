"""What an attribution is: one score a teacher layer, higher is more important."""

import abc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..data import Batch
from ..models import LanguageModel
from ..strategy import Strategy


@dataclass(frozen=True, kw_only=True)
class Attribution(Strategy, abc.ABC, kind="attribution"):
    """How the importance of each teacher layer for a task is measured."""

    finds_planted: ClassVar[bool] = True
    """Whether the only layer that matters ranks first (a contract test plants one)."""
    reads_weights: ClassVar[bool] = False
    """Whether it looks at the model's weights themselves."""

    @abc.abstractmethod
    def score(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "n_layer"]:
        """One score a layer in float64 on the CPU; comparable between layers of one model only."""


def answer_loss(model: LanguageModel, hidden: Float[Tensor, "b pos d"], batch: Batch) -> Float[Tensor, " b"]:
    """Cross-entropy of the answer in nats a token, averaged within each example, from the final normed states."""
    logits = model.logits(hidden[batch.mask])
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = torch.nn.functional.cross_entropy(logits, batch.targets[batch.mask], reduction="none")
    owner = batch.mask.nonzero()[:, 0]
    return losses.new_zeros(hidden.shape[0]).index_add(0, owner, losses) / batch.mask.sum(1).clamp(min=1)


@contextmanager
def fixed_weights(module: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient within the block, so a backward pass keeps nothing on their account."""
    asked = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in asked:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
