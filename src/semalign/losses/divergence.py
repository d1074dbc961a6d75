"""Divergences between the student's and the teacher's next-token distributions."""

import abc
from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from .base import Loss, softened


@dataclass(frozen=True, kw_only=True)
class Divergence(Loss):
    """Both logits are divided by `temperature` and the result multiplied by its square: gradients keep their size."""

    target = "teacher_logits"

    temperature: Annotated[float, Field(gt=0)] = 1.0

    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Float[Tensor, "*batch pos d"], mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        student, teacher = (softened(logits, mask, self.temperature) for logits in (h, target))
        return self.between(student, teacher) * self.temperature**2

    @abc.abstractmethod
    def between(self, student: Float[Tensor, "n d"], teacher: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Summed over tokens, in nats, from log-probabilities."""
