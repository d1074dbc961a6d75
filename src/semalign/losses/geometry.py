"""Latent geometry: how the states of one sequence lie to each other, in the student and in the teacher."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from .sequence import SequenceLoss, shape_distance


@dataclass(frozen=True, kw_only=True)
class Geometry(SequenceLoss, name="geometry"):
    """Distance of centred Gram matrices at norm 1: 2 - 2 CKA within a sequence, mean over sequences; in [0, 2].

    G(R) = C R R^T C over the answer tokens of one sequence; |G_S/|G_S| - G_T/|G_T||^2. Blind to rotation, scale and
    shift of either side, and so to any orthogonal map: it needs none.
    Source: Gu et al. 2026, arXiv:2510.24208 v2 (the version of May 2026); a reconstruction from the abstract.
    """

    source = "Gu et al. 2026, arXiv:2510.24208 v2; reconstruction from the abstract"

    def distances(
        self, h: Float[Tensor, "b n d"], target: Float[Tensor, "b n d_t"], keep: Bool[Tensor, "b n"]
    ) -> Float[Tensor, " b"]:
        return shape_distance(h @ h.mT, target @ target.mT)
