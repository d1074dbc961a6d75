"""Kullback-Leibler divergence of the student's distribution from the teacher's."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import kl_div

from .divergence import Divergence


@dataclass(frozen=True, kw_only=True)
class ForwardKL(Divergence, name="kl"):
    """Forward KL(teacher || student) of the next-token distributions, in nats an answer token.

    Both logits are divided by `temperature` and the result multiplied by its square, so that gradients keep their size.
    Source: Hinton et al. 2015, arXiv:1503.02531.
    """

    source = "Hinton et al. 2015, arXiv:1503.02531"

    def between(self, student: Float[Tensor, "n d"], teacher: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        return kl_div(student, teacher, reduction="sum", log_target=True)
