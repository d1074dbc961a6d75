"""Least squares from teacher states to student states, its shrinkage chosen on held-out rows."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ..errors import UserError
from ..linalg.moments import Moments
from ..linalg.ridge import RidgePath
from .states import Solved, StateBasis

Shrinkage = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Ridge(StateBasis, name="ridge"):
    """Least squares from the teacher's states to the student's, pair by pair; shrinkage chosen on held-out rows.

    It says what the untouched student would have there, so training towards it alone keeps the student where it is,
    but for what the student's states lack. Source: Hoerl and Kennard 1970; between layers of two models as in the
    stitching of Bansal et al. 2021, arXiv:2106.07682.
    """

    source = "Hoerl and Kennard 1970; Bansal et al. 2021, arXiv:2106.07682"

    shrinkages: tuple[Shrinkage, ...] = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0, 100.0)
    """Candidates, relative to the mean diagonal of the teacher's second moments; one alone is taken as it is."""

    def __post_init__(self) -> None:
        if not self.shrinkages:
            raise UserError("'shrinkages' is empty; give one or more numbers above 0")

    def solve(self, fit: Moments, held: Moments) -> Solved:
        explained = RidgePath(fit, center=self.center).explained(held, self.shrinkages)
        best = max(range(len(explained)), key=explained.__getitem__)
        path = RidgePath(fit + held, center=self.center)
        matrix, offset = path.solution(self.shrinkages[best])
        return Solved(matrix, offset, path.condition, explained[best], {"shrinkage": self.shrinkages[best]})
