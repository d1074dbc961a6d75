"""Distance of two sorted distributions, which need no common vocabulary."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from .base import Loss, Vocabulary, chosen, upcast


@dataclass(frozen=True, kw_only=True)
class ULD(Loss, name="uld"):
    """Sum over ranks of |student - teacher| of the sorted next-token probabilities, in [0, 2] an answer token.

    Universal logit distillation: the least cost of moving one distribution into the other where every token is as far
    from every other. It compares how certain the models are and not of what, so that any tokens may trade their
    probabilities at no cost: take it together with `cross_entropy`. The smaller vocabulary is filled up with
    probabilities of 0. Each position sorts both vocabularies.
    Source: Boizard et al. 2024, arXiv:2402.12030.
    """

    source = "Boizard et al. 2024, arXiv:2402.12030"
    target = "teacher_logits"

    @property
    def compares(self) -> Vocabulary:
        return "own"

    def total(
        self,
        h: Float[Tensor, "*batch pos d"],
        target: Float[Tensor, "*batch pos d_t"],
        mask: Bool[Tensor, "*batch pos"],
    ) -> Float[Tensor, ""]:
        student, teacher = (
            upcast(chosen(z, mask)).softmax(dim=-1).sort(dim=-1, descending=True).values for z in (h, target)
        )
        size = max(student.shape[-1], teacher.shape[-1])
        student, teacher = (pad(p, (0, size - p.shape[-1])) for p in (student, teacher))
        return (student - teacher).abs().sum()
