"""Orthogonal Procrustes from streamed moments: the rotation between two sets of states."""

import torch
from jaxtyping import Float64
from torch import Tensor

from ..errors import UserError
from .moments import Moments, offset


def procrustes(
    moments: Moments, *, center: bool, scale: bool
) -> tuple[Float64[Tensor, "d_y d_x"], Float64[Tensor, "d_y"], float]:
    """The (semi-)orthogonal matrix that turns x towards y, times its best scale, the offset, and the scale.

    Q = U V^T of the SVD of sum y x^T. Where d_y >= d_x its columns are orthonormal and it minimises
    sum |y - c Q x - b|^2; where d_y < d_x its rows are, and it maximises the covariance of y with Q x. Refuses moments
    whose cross-covariance leaves directions of the smaller side undetermined. Source: Schönemann 1966.
    """
    used = moments.centred() if center else moments
    left, values, right = torch.linalg.svd(used.xy.T, full_matrices=False)
    # Rounding goes with the sums before the means were taken out, and no covariance is above the root of their product
    noise = (moments.xx.trace() * moments.yy).sqrt() * max(used.xy.shape) * torch.finfo(values.dtype).eps
    rank = int((values > noise).sum())
    if rank < len(values):
        raise UserError(
            f"the two models' states have only {rank} of {len(values)} directions in common on {moments.n} tokens, "
            "so the rotation is not determined; give more calibration rows"
        )
    matrix = left @ right
    best = float(values.sum() / ((matrix @ used.xx) * matrix).sum()) if scale else 1.0
    matrix = best * matrix
    return matrix, offset(matrix, moments) if center else torch.zeros_like(moments.y), best
