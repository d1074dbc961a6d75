"""Generalised Jensen-Shannon divergence: both distributions against a mixture of them."""

from dataclasses import dataclass
from math import log, log1p
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import kl_div

from .divergence import Divergence


@dataclass(frozen=True, kw_only=True)
class JSD(Divergence, name="jsd"):
    """beta KL(teacher || m) + (1 - beta) KL(student || m), m = beta teacher + (1 - beta) student; nats a token.

    Symmetric at beta 1/2, where it is at most log 2 (times the temperature squared). Towards the ends it vanishes: over
    beta it tends to KL(teacher || student), over 1 - beta to KL(student || teacher). At the ends themselves it is those
    two divergences, as in TRL; small values of beta are no small steps away from them.
    Source: Agarwal et al. 2023, arXiv:2306.13649, eq. 1 (GKD); the ends as in TRL 1.x, `generalized_jsd_loss`.
    """

    source = "Agarwal et al. 2023, arXiv:2306.13649, eq. 1"

    beta: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the teacher in the mixture; 0 is the forward and 1 the reverse Kullback-Leibler divergence."""

    def between(self, student: Float[Tensor, "n d"], teacher: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        if self.beta == 0:
            return kl_div(student, teacher, reduction="sum", log_target=True)
        if self.beta == 1:
            return kl_div(teacher, student, reduction="sum", log_target=True)
        mixture = torch.logaddexp(teacher + log(self.beta), student + log1p(-self.beta))
        theirs, ours = (kl_div(mixture, p, reduction="sum", log_target=True) for p in (teacher, student))
        return self.beta * theirs + (1 - self.beta) * ours
