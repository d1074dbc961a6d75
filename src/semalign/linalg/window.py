"""The contiguous window of a matrix with the largest sum."""

import torch
from jaxtyping import Float
from torch import Tensor


def best_window(scores: Float[Tensor, "n_row n_column"], height: int, width: int) -> tuple[int, int]:
    """First row and first column of the window of this size with the largest sum; of equal ones the first.

    All windows at once from one summed-area table in float64: 8 bytes a score, and 16 a window.
    Source: Crow 1984, Summed-area tables for texture mapping.
    """
    n_row, n_column = scores.shape
    assert height <= n_row, "the window is no higher than the matrix"
    assert width <= n_column, "the window is no wider than the matrix"
    table = torch.zeros(n_row + 1, n_column + 1, dtype=torch.float64, device=scores.device)
    table[1:, 1:] = scores
    torch.cumsum(table, 0, out=table)
    torch.cumsum(table, 1, out=table)
    sums = table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    return divmod(int(sums.argmax()), sums.shape[1])
