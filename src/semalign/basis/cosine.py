"""The paper's map: cosines to the teacher's semantic basis, recomposed in the student's."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float64
from pydantic import Field
from torch import Tensor

from ..linalg.gram import condition_number, gram_factor, gram_of, row_blocks
from .base import Vocabulary, VocabularyBasis
from .linear import LinearMap


@dataclass(frozen=True, kw_only=True)
class Cosine(VocabularyBasis, name="cosine"):
    """The paper's map: M = S_S^T S_T with the rows of pinv(W^T), at unit length, as semantic bases.

    The norm of the state is thrown away, so only directions of the result mean something.
    Source: Gu et al. 2025, arXiv:2510.24208, section 3; the product of the two steps is our algebra.
    """

    source = "Gu et al. 2025, arXiv:2510.24208"
    recovers = "direction"
    keeps_norm = False

    ridge: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-6
    """Added to the Gram matrix, relative to its mean diagonal."""
    fold_final_norm: bool = False
    """Multiply the head's columns by the gain of the final norm first."""
    unit_norm: bool = True
    """Make every row of the basis unit length (version 1 of the paper)."""
    center: bool = False
    """Subtract the mean row of the head first."""

    def fit(self, teacher: Vocabulary, student: Vocabulary) -> LinearMap:
        bases = [OutputBasis(side, self) for side in (teacher, student)]
        matrix = torch.zeros(student.width, teacher.width, dtype=torch.float64, device=teacher.head.device)
        for rows in row_blocks(teacher.head.shape[0]):
            matrix.addmm_(bases[1].rows(rows).T, bases[0].rows(rows))
        return LinearMap(
            matrix=matrix.float(),
            n_token=teacher.head.shape[0],
            condition=condition_number(bases[1].gram),
            notes={"ridge_used": max(basis.ridge_used for basis in bases)},
        )


class OutputBasis:
    """Rows of pinv(W^T) = W (W^T W)^-1, made block by block."""

    def __init__(self, side: Vocabulary, options: Cosine) -> None:
        self.side, self.options = side, options
        n_token, width = side.head.shape
        zeros, ones = (make(width, dtype=torch.float64, device=side.head.device) for make in (torch.zeros, torch.ones))
        self.mean = side.head.sum(0, dtype=torch.float64) / n_token if options.center else zeros
        self.gain = side.gain.double() if options.fold_final_norm else ones
        centred = gram_of(side.head) - n_token * torch.outer(self.mean, self.mean)
        self.gram = centred * torch.outer(self.gain, self.gain)
        self.factor, self.ridge_used = gram_factor(self.gram, options.ridge)

    def rows(self, rows: slice) -> Float64[Tensor, "n d"]:
        head = self.side.head[rows].double()
        if self.options.center:
            head = head - self.mean
        if self.options.fold_final_norm:
            head = head * self.gain
        basis = torch.cholesky_solve(head.T, self.factor).T
        return torch.nn.functional.normalize(basis, dim=-1) if self.options.unit_norm else basis
