"""Gram matrices of tall vocabulary matrices, and the solves that replace their pseudo-inverses.

W is [n_token, d] with n_token much larger than d. `torch.linalg.pinv` of W in float32 silently drops real directions
(its cut-off grows with n_token), and its SVD needs gigabytes; W^T W in float64, accumulated by blocks of rows, needs
d x d numbers.
"""

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import UserError

BLOCK = 8192  # rows a block: 8192 x 896 float64 is 59 MB, and larger blocks are no faster
PANEL = 128  # columns a panel of a symmetric product: what is done twice shrinks with it, narrower ones are no faster


def row_blocks(n_row: int, block: int = BLOCK) -> Iterator[slice]:
    """Slices that cover n_row rows in order."""
    for start in range(0, n_row, block):
        yield slice(start, min(start + block, n_row))


def cross_gram(a: Float[Tensor, "n d_a"], b: Float[Tensor, "n d_b"]) -> Float64[Tensor, "d_a d_b"]:
    """a^T b in float64, by blocks of rows."""
    total = torch.zeros(a.shape[1], b.shape[1], dtype=torch.float64, device=a.device)
    for rows in row_blocks(a.shape[0]):
        total.addmm_(a[rows].double().T, b[rows].double())
    return total


def gram_of(a: Float[Tensor, "n d"]) -> Float64[Tensor, "d d"]:
    """a^T a in float64, by blocks of rows and panels of columns: the lower half is a mirror of the upper one."""
    width = a.shape[1]
    total = torch.zeros(width, width, dtype=torch.float64, device=a.device)
    for rows in row_blocks(a.shape[0]):
        block = a[rows].double()
        for first in range(0, width, PANEL):
            panel = slice(first, first + PANEL)
            total[panel, first:].addmm_(block[:, panel].T, block[:, first:])
    return total.triu() + total.triu(1).T


def check_finite(matrix: Float[Tensor, "m n"]) -> None:
    """Refuse what was made from weights with a NaN or an infinity in them."""
    if not matrix.isfinite().all():
        raise UserError("the weights are damaged: they hold NaN or Inf")


class GramFactor(NamedTuple):
    """A lower Cholesky factor, and the ridge that it was taken with."""

    lower: Float64[Tensor, "d d"]
    ridge: float


def gram_factor(gram: Float64[Tensor, "d d"], ridge: float = 0.0) -> GramFactor:
    """Cholesky factor of gram + ridge * mean diagonal; where that is singular, a warning says which ridge was used."""
    check_finite(gram)
    scale = float(gram.diagonal().mean())
    identity = torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    for extra in (ridge, max(ridge, 1e-10), max(ridge, 1e-6)):
        factor, info = torch.linalg.cholesky_ex(gram + extra * scale * identity)
        if not info.item():
            if extra > ridge:
                warnings.warn(f"a Gram matrix is singular with ridge {ridge:g}; {extra:g} was used", stacklevel=2)
            return GramFactor(factor, extra)
    raise UserError("the weights are damaged: their Gram matrix is not positive semi-definite")


def condition_number(gram: Float64[Tensor, "d d"]) -> float:
    """Condition number of W from its Gram matrix: the root of the ratio of extreme eigenvalues.

    inf where W is rank deficient; that is all one can tell above 1e6 or so, because the Gram matrix squares it.
    """
    check_finite(gram)
    values = torch.linalg.eigvalsh(gram)
    low, high = float(values[0]), float(values[-1])
    noise = high * gram.shape[0] * torch.finfo(gram.dtype).eps  # rounding of the Gram matrix and of its eigenvalues
    return (high / low) ** 0.5 if low > noise else float("inf")
