"""No map at all: states are compared as they are."""

from dataclasses import dataclass

import torch

from ..errors import UserError
from .base import Basis, SemanticMap, Vocabulary


@dataclass(frozen=True, kw_only=True)
class Identity(Basis, name="identity"):
    """No map: teacher states are compared with student states as they are; needs equal widths."""

    source = "control"
    recovers = "itself"

    def fit(self, teacher: Vocabulary, student: Vocabulary) -> SemanticMap:
        if teacher.width != student.width:
            raise UserError(
                f"basis 'identity' needs equal widths, but the teacher has {teacher.width} and the student "
                f"{student.width}; use 'logit' or 'cosine'"
            )
        matrix = torch.eye(student.width, device=teacher.head.device)
        return SemanticMap(matrix=matrix, n_token=teacher.head.shape[0], condition=1.0, unit=False)
