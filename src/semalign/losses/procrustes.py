"""Procrustes distance: what no rotation and no scaling can remove."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .sequence import SequenceLoss, unit

CUT = 1e-6  # singular values below this share of the largest are rounding: their directions are arbitrary


@dataclass(frozen=True, kw_only=True)
class Procrustes(SequenceLoss, name="procrustes"):
    """1 - |X^T Y|_* for centred states at Frobenius norm 1, mean over sequences; in [0, 1].

    Half the squared distance after the best rotation and scaling of a sequence's answer states. Blind to rotation,
    scale and shift. Stricter than CKA, which the few largest directions decide.
    Source: Williams et al. 2021, arXiv:2110.14739, eq. 4; as a distillation loss arXiv:2509.25253.
    """

    source = "Williams et al. 2021, arXiv:2110.14739; arXiv:2509.25253"

    def distances(
        self, h: Float[Tensor, "b n d"], target: Float[Tensor, "b n d_t"], keep: Bool[Tensor, "b n"]
    ) -> Float[Tensor, " b"]:
        x, y = unit(h), unit(target)
        left, right = _rotations(x.detach(), y.detach())
        # the gradient of a nuclear norm |A|_* is U V^T: with U and V held fixed, the sum of U^T A V has that gradient
        return (1 - ((x @ left) * (y @ right)).sum((1, 2))).clamp(min=0)


def _rotations(
    x: Float[Tensor, "b n d"], y: Float[Tensor, "b n d_t"]
) -> tuple[Float[Tensor, "b d k"], Float[Tensor, "b d_t k"]]:
    """Singular vectors of x^T y, from factors no larger than n; 0 where the singular value is."""
    (q_x, r_x), (q_y, r_y) = torch.linalg.qr(x.mT), torch.linalg.qr(y.mT)
    u, values, v_t = torch.linalg.svd(r_x @ r_y.mT, full_matrices=False)
    real = (values > CUT * values[:, :1]).unsqueeze(1)
    return torch.where(real, q_x @ u, 0), torch.where(real, q_y @ v_t.mT, 0)
