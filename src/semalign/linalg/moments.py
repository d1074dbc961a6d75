"""First and second moments of two sets of states, one row of each a token, summed up batch by batch in float64.

All that least squares and Procrustes need: d x d numbers, however many tokens there were.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import UserError


@dataclass(eq=False)
class Moments:
    """Sums over n tokens of x, y, x x^T, x y^T and |y|^2; `update` adds tokens, `+` joins two sets of them."""

    x: Float64[Tensor, "d_x"]
    y: Float64[Tensor, "d_y"]
    xx: Float64[Tensor, "d_x d_x"]
    xy: Float64[Tensor, "d_x d_y"]
    yy: Float64[Tensor, ""]
    n: int = 0

    @classmethod
    def zero(cls, d_x: int, d_y: int, device: torch.device | str = "cpu") -> "Moments":
        shapes = (d_x,), (d_y,), (d_x, d_x), (d_x, d_y), ()
        x, y, xx, xy, yy = (torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes)
        return cls(x=x, y=y, xx=xx, xy=xy, yy=yy)

    def update(self, x: Float[Tensor, "n d_x"], y: Float[Tensor, "n d_y"]) -> None:
        x, y = x.double(), y.double()
        if not (x.isfinite().all() and y.isfinite().all()):
            raise UserError("the states hold NaN or Inf: a model's weights are damaged, or its dtype is too narrow")
        self.x += x.sum(0)
        self.y += y.sum(0)
        self.xx.addmm_(x.T, x)
        self.xy.addmm_(x.T, y)
        self.yy += y.square().sum()
        self.n += x.shape[0]

    def __add__(self, other: "Moments") -> "Moments":
        names = ("x", "y", "xx", "xy", "yy", "n")
        return Moments(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def about(self, x: Float64[Tensor, "d_x"], y: Float64[Tensor, "d_y"]) -> "Moments":
        """The moments of the same tokens after x and y were subtracted from them."""
        shifted_x, shifted_y = self.x - self.n * x, self.y - self.n * y
        return Moments(
            x=shifted_x,
            y=shifted_y,
            xx=self.xx - torch.outer(self.x, x) - torch.outer(x, shifted_x),
            xy=self.xy - torch.outer(self.x, y) - torch.outer(x, shifted_y),
            yy=self.yy - 2 * self.y @ y + self.n * y @ y,
            n=self.n,
        )

    def centred(self) -> "Moments":
        """The moments about the means."""
        return self.about(self.x / self.n, self.y / self.n)


def offset(matrix: Float64[Tensor, "d_y d_x"], moments: Moments) -> Float64[Tensor, "d_y"]:
    """What brings the mean of x to the mean of y after the matrix."""
    return (moments.y - matrix @ moments.x) / moments.n


def explained_variance(matrix: Float64[Tensor, "d_y d_x"], shift: Float64[Tensor, "d_y"], moments: Moments) -> float:
    """1 - sum |y - matrix x - shift|^2 / sum |y - mean|^2, channels pooled: 1 is exact, 0 is the mean, < 0 worse."""
    seen = moments.about(torch.zeros_like(moments.x), shift)
    residual = seen.yy - 2 * (matrix.T * seen.xy).sum() + ((matrix @ seen.xx) * matrix).sum()
    return float(1 - residual / moments.centred().yy)
