"""Centred kernel alignment within a sequence, without the bias of short sequences."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .sequence import SequenceLoss, shape_distance


@dataclass(frozen=True, kw_only=True)
class CKA(SequenceLoss, name="cka"):
    """1 - unbiased linear CKA of the answer states of a sequence, mean over sequences; in [0, 2].

    The usual CKA (`geometry`) of n unrelated states in d dimensions tends to 1 where d is much larger than n; the
    unbiased estimator stays near 0. Sequences of fewer than four answer tokens do not count. Blind to rotation, scale
    and shift.
    Source: Nguyen et al. 2021, arXiv:2010.15327, eq. 3; Song et al. 2012, JMLR 13, eq. 5 (the estimator).
    """

    source = "Kornblith et al. 2019, arXiv:1905.00414; Nguyen et al. 2021, arXiv:2010.15327 (unbiased)"
    at_least = 4

    def distances(
        self, h: Float[Tensor, "b n d"], target: Float[Tensor, "b n d_t"], keep: Bool[Tensor, "b n"]
    ) -> Float[Tensor, " b"]:
        return shape_distance(_u_centred(h @ h.mT, keep), _u_centred(target @ target.mT, keep)) / 2


def _u_centred(gram: Float[Tensor, "b n n"], keep: Bool[Tensor, "b n"]) -> Float[Tensor, "b n n"]:
    """Rows and columns that sum to 0 with a diagonal of 0: inner products of such matrices are unbiased HSIC."""
    off = ~torch.eye(gram.shape[1], dtype=torch.bool, device=gram.device)
    gram = torch.where(off, gram, 0)
    n = keep.sum(-1)[:, None, None]
    rows = gram.sum(2, keepdim=True) / (n - 2)
    inside = off & keep.unsqueeze(1) & keep.unsqueeze(2)
    overall = gram.sum((1, 2), keepdim=True) / ((n - 1) * (n - 2))
    return torch.where(inside, gram - rows - rows.mT + overall, 0)
