"""Kullback-Leibler divergence from a mixture of both distributions."""

from dataclasses import dataclass
from math import log
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import kl_div

from .divergence import Divergence


@dataclass(frozen=True, kw_only=True)
class SkewKL(Divergence, name="skew_kl"):
    """KL(teacher || skew teacher + (1 - skew) student), in nats an answer token.

    It is bounded by -log(skew) times the temperature squared.
    Source: Ko et al. 2024, arXiv:2402.03898 (DistiLLM).
    """

    source = "Ko et al. 2024, arXiv:2402.03898"

    skew: Annotated[float, Field(gt=0, lt=1)] = 0.1

    def between(self, student: Float[Tensor, "n d"], teacher: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        mixture = torch.logaddexp(teacher + log(self.skew), student + log(1 - self.skew))
        return kl_div(mixture, teacher, reduction="sum", log_target=True)
