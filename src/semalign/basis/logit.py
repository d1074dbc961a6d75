"""The map that keeps logits: the student state whose logits are closest to the teacher's."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from ..linalg.gram import condition_number, cross_gram, gram_factor, gram_of
from .base import Vocabulary, VocabularyBasis
from .linear import LinearMap


@dataclass(frozen=True, kw_only=True)
class Logit(VocabularyBasis, name="logit"):
    """Keeps logits: M = pinv(W_S) W_T, the student state whose logits are closest to the teacher's.

    Closest by least squares over tokens; with one model on both sides it is the identity.
    Source: Zhang et al. 2025, arXiv:2504.11426 (DSKDv2), there at the last layer.
    """

    source = "Zhang et al. 2025, arXiv:2504.11426 (DSKDv2), there at the last layer only"
    recovers = "logits"
    keeps_norm = True

    ridge: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-10
    """Added to the Gram matrix, relative to its mean diagonal."""
    fold_final_norm: bool = False
    """Multiply the heads' columns by the gains of the final norms first, for states before that norm."""

    def fit(self, teacher: Vocabulary, student: Vocabulary) -> LinearMap:
        gram = gram_of(student.head)
        cross = cross_gram(student.head, teacher.head)
        if self.fold_final_norm:
            g_s, g_t = student.gain.double(), teacher.gain.double()
            gram, cross = gram * torch.outer(g_s, g_s), cross * torch.outer(g_s, g_t)
        factor, ridge_used = gram_factor(gram, self.ridge)
        return LinearMap(
            matrix=torch.cholesky_solve(cross, factor).float(),
            n_token=teacher.head.shape[0],
            condition=condition_number(gram),
            unit=False,
            notes={"ridge_used": ridge_used},
        )
