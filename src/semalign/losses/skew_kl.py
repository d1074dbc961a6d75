"""Kullback-Leibler divergence from a mixture of both distributions."""

from dataclasses import dataclass
from math import log
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import kl_div

from .base import Loss, softened


@dataclass(frozen=True, kw_only=True)
class SkewKL(Loss, name="skew_kl"):
    """KL(teacher || skew teacher + (1 - skew) student), in nats an answer token.

    It is bounded by -log(skew) times the temperature squared.
    Source: Ko et al. 2024, arXiv:2402.03898 (DistiLLM).
    """

    source = "Ko et al. 2024, arXiv:2402.03898"
    target = "teacher_logits"

    skew: Annotated[float, Field(gt=0, lt=1)] = 0.1
    temperature: Annotated[float, Field(gt=0)] = 1.0

    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Float[Tensor, "*batch pos d"], mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        student = softened(h, mask, self.temperature)
        teacher = softened(target, mask, self.temperature)
        mixture = torch.logaddexp(teacher + log(self.skew), student + log(1 - self.skew))
        return kl_div(mixture, teacher, reduction="sum", log_target=True) * self.temperature**2
