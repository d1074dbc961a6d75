"""No map at all: states are compared as they are."""

from dataclasses import dataclass

import torch

from .base import Basis, Vocabulary
from .linear import LinearMap


@dataclass(frozen=True, kw_only=True)
class Identity(Basis, name="identity"):
    """No map: teacher states stay as they are, at the teacher's width.

    Losses that compare coordinates need equal widths then; those that compare geometries (of Gram matrices) do not.
    """

    source = "control"
    recovers = "itself"
    keeps_norm = True

    def fit(self, teacher: Vocabulary, student: Vocabulary) -> LinearMap:
        del student
        matrix = torch.eye(teacher.width, device=teacher.head.device)
        return LinearMap(matrix=matrix, n_token=teacher.head.shape[0], condition=1.0, unit=False)
