"""The rotation that turns teacher states towards student states."""

from dataclasses import dataclass

from ..linalg.moments import Moments, explained_variance
from ..linalg.procrustes import procrustes
from .states import Solved, StateBasis


@dataclass(frozen=True, kw_only=True)
class Procrustes(StateBasis, name="procrustes"):
    """The rotation (semi-orthogonal between two widths) that turns the teacher's states to the student's, per pair.

    Angles and ratios of lengths among teacher states stay as they are (all of them where the student is as wide), so
    unlike least squares it cannot drop what the student lacks. Source: Schönemann 1966.
    """

    source = "Schönemann 1966, Psychometrika 31"

    scale: bool = True
    """Times the scale that fits best."""

    def solve(self, fit: Moments, held: Moments) -> Solved:
        options = {"center": self.center, "scale": self.scale}
        tried, shift, _ = procrustes(fit, **options)
        matrix, offset, scale = procrustes(fit + held, **options)
        return Solved(matrix, offset, 1.0, explained_variance(tried, shift, held), {"scale": scale})
