"""Kullback-Leibler divergence of the student's distribution from the teacher's."""

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import kl_div

from .base import Loss, softened


@dataclass(frozen=True, kw_only=True)
class ForwardKL(Loss, name="kl"):
    """Forward KL(teacher || student) of the next-token distributions, in nats an answer token.

    Both logits are divided by `temperature` and the result multiplied by its square, so that gradients keep their size.
    Source: Hinton et al. 2015, arXiv:1503.02531.
    """

    source = "Hinton et al. 2015, arXiv:1503.02531"
    target = "teacher_logits"

    temperature: Annotated[float, Field(gt=0)] = 1.0

    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Float[Tensor, "*batch pos d"], mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        student = softened(h, mask, self.temperature)
        teacher = softened(target, mask, self.temperature)
        return kl_div(student, teacher, reduction="sum", log_target=True) * self.temperature**2
