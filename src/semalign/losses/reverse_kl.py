"""Kullback-Leibler divergence of the teacher's distribution from the student's."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import kl_div

from .divergence import Divergence


@dataclass(frozen=True, kw_only=True)
class ReverseKL(Divergence, name="reverse_kl"):
    """Reverse KL(student || teacher) of the next-token distributions, in nats an answer token.

    It follows the teacher's main mode and leaves the rest of its distribution alone.
    Source: Gu et al. 2023, arXiv:2306.08543 (MiniLLM).
    """

    source = "Gu et al. 2023, arXiv:2306.08543"

    def between(self, student: Float[Tensor, "n d"], teacher: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        return kl_div(teacher, student, reduction="sum", log_target=True)
