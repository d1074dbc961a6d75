"""Ridge regression from streamed moments: every shrinkage from one eigendecomposition."""

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from ..errors import UserError
from .moments import Moments, offset


class RidgePath:
    """The minimisers of sum |y - M x|^2 + shrinkage * s |M|^2 for all shrinkages, s the mean diagonal of x^T x.

    With `center`, moments are about their means and an offset makes up for them. One eigendecomposition, O(d_x^3) in
    float64; then each shrinkage costs a product of d_x x d_x with d_x x d_y. Source: Hoerl and Kennard 1970.
    """

    def __init__(self, moments: Moments, *, center: bool) -> None:
        self.moments, self.center = moments, center
        used = moments.centred() if center else moments
        self.scale = used.xx.diagonal().mean()
        if not self.scale > 0:
            raise UserError("the teacher's states do not vary, so nothing can be fitted to them")
        self.values, self.vectors = torch.linalg.eigh(used.xx)
        self.rotated = self.vectors.T @ used.xy

    @property
    def condition(self) -> float:
        """Condition number of x; inf where its rows do not span all directions."""
        low, high = float(self.values[0]), float(self.values[-1])
        # Rounding goes with the sums before the means were taken out
        noise = float(self.moments.xx.trace()) * len(self.values) * torch.finfo(torch.float64).eps
        return (high / low) ** 0.5 if low > noise else float("inf")

    def solution(self, shrinkage: float) -> tuple[Float64[Tensor, "d_y d_x"], Float64[Tensor, "d_y"]]:
        """The matrix and the offset (zeros without `center`)."""
        matrix = (self._weights(shrinkage)[:, None] * self.rotated).T @ self.vectors.T
        return matrix, offset(matrix, self.moments) if self.center else torch.zeros_like(self.moments.y)

    def explained(self, held: Moments, shrinkages: Sequence[float]) -> list[float]:
        """Explained variance on other tokens for each shrinkage, in (-inf, 1]; O(d_x^2) each."""
        means = (self.moments.x / self.moments.n, self.moments.y / self.moments.n)
        seen = held.about(*means) if self.center else held
        turned = self.vectors.T @ seen.xx @ self.vectors
        quadratic = turned * (self.rotated @ self.rotated.T)
        linear = (self.rotated * (self.vectors.T @ seen.xy)).sum(1)
        total = held.centred().yy
        explained = []
        for shrinkage in shrinkages:
            weights = self._weights(shrinkage)
            residual = seen.yy - 2 * weights @ linear + weights @ quadratic @ weights
            explained.append(float(1 - residual / total))
        return explained

    def _weights(self, shrinkage: float) -> Float64[Tensor, "d_x"]:
        # Rounding may leave a singular direction slightly below 0
        return 1 / (self.values.clamp(min=0) + shrinkage * self.scale)
