"""A control: random vectors as semantic bases."""

from dataclasses import dataclass

import torch

from ..linalg.gram import condition_number, gram_of, row_blocks
from .base import Basis, Vocabulary
from .linear import LinearMap


@dataclass(frozen=True, kw_only=True)
class Random(Basis, name="random"):
    """A control: independent Gaussian bases on the two sides; with one model on both sides, one basis.

    For many more tokens than dimensions a random basis reconstructs almost perfectly, cos = 1/sqrt(1 + d/n_token):
    reconstruction alone proves nothing about meaning.
    """

    source = "control"
    recovers = "nothing"
    keeps_norm = False

    seed: int | None = None
    """None: the run's seed."""

    def fit(self, teacher: Vocabulary, student: Vocabulary) -> LinearMap:
        device, n_token = teacher.head.device, teacher.head.shape[0]
        first = 2 * (self.seed or 0)
        seeds = (first, first + (teacher is not student))
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        matrix = torch.zeros(student.width, teacher.width, dtype=torch.float64)
        gram = torch.zeros(student.width, student.width, dtype=torch.float64)
        for rows in row_blocks(n_token):
            count = rows.stop - rows.start
            unit_t, unit_s = (
                torch.nn.functional.normalize(
                    torch.randn(count, side.width, generator=generator, dtype=torch.float64), dim=-1
                )
                for side, generator in zip((teacher, student), generators, strict=True)
            )
            matrix.addmm_(unit_s.T, unit_t)
            gram += gram_of(unit_s)
        return LinearMap(matrix=matrix.float().to(device), n_token=n_token, condition=condition_number(gram))
