"""A control: the rows of the input embedding as semantic basis."""

from dataclasses import dataclass

import torch

from ..linalg.gram import condition_number, gram_of, row_blocks
from .base import Vocabulary, VocabularyBasis
from .linear import LinearMap


@dataclass(frozen=True, kw_only=True)
class InputSide(VocabularyBasis, name="input_side"):
    """A control: unit rows of embed_tokens in place of the output-side basis (the paper's Fig. 2 compares both)."""

    source = "Gu et al. 2025, arXiv:2510.24208, Fig. 2"
    recovers = "nothing"
    keeps_norm = False

    def fit(self, teacher: Vocabulary, student: Vocabulary) -> LinearMap:
        matrix = torch.zeros(student.width, teacher.width, dtype=torch.float64, device=teacher.head.device)
        for rows in row_blocks(teacher.embedding.shape[0]):
            unit_s, unit_t = (
                torch.nn.functional.normalize(side.embedding[rows].double(), dim=-1) for side in (student, teacher)
            )
            matrix.addmm_(unit_s.T, unit_t)
        condition = condition_number(gram_of(student.embedding))
        return LinearMap(matrix=matrix.float(), n_token=teacher.embedding.shape[0], condition=condition)
