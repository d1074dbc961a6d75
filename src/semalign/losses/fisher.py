"""Fisher distance: what a difference of two logit vectors changes in the distribution, to second order."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softmax

from .base import Loss, chosen, upcast


@dataclass(frozen=True, kw_only=True)
class Fisher(Loss, name="fisher"):
    """Half the variance of the logit difference under the target's distribution, nats an answer token; O(V) a token.

    z from the state, z_t from the target, p = softmax(z_t), d = z - z_t: 1/2 Var_p(d) = 1/2 d^T (diag p - p p^T) d, the
    second order of KL(p || softmax z), without a V x V matrix. In the space of states it is 1/2 delta^T W^T (diag p -
    p p^T) W delta. Blind to a shift of the logits.
    Source: Gu et al. 2026, Findings of ACL 2026; a reconstruction from the abstract.
    """

    source = "Gu et al. 2026, Findings of ACL 2026; reconstruction from the abstract"
    target = "teacher_logits"

    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Float[Tensor, "*batch pos d"], mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        aim = upcast(chosen(target, mask))
        p = softmax(aim, dim=-1)
        difference = upcast(chosen(h, mask)) - aim
        deviation = difference - (p * difference).sum(-1, keepdim=True)
        return (p * deviation.square()).sum() / 2
