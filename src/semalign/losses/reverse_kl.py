"""Kullback-Leibler divergence of the teacher's distribution from the student's."""

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import kl_div

from .base import Loss, softened


@dataclass(frozen=True, kw_only=True)
class ReverseKL(Loss, name="reverse_kl"):
    """Reverse KL(student || teacher) of the next-token distributions, in nats an answer token.

    It follows the teacher's main mode and leaves the rest of its distribution alone.
    Source: Gu et al. 2023, arXiv:2306.08543 (MiniLLM).
    """

    source = "Gu et al. 2023, arXiv:2306.08543"
    target = "teacher_logits"

    temperature: Annotated[float, Field(gt=0)] = 1.0

    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Float[Tensor, "*batch pos d"], mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        student = softened(h, mask, self.temperature)
        teacher = softened(target, mask, self.temperature)
        return kl_div(teacher, student, reduction="sum", log_target=True) * self.temperature**2
