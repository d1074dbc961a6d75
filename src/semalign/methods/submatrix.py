"""Parts of a teacher's matrix in the shape of the student's, by the sensitivity of its weights or by chance."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..linalg.window import best_window

Submatrix = Literal["window", "rows_columns", "single_weights", "random_window"]


@dataclass(frozen=True, eq=False)
class Extract:
    """What was taken from a matrix, and where a window of it begins."""

    matrix: Float[Tensor, "out_s in_s"]
    share: float | None
    """Of the matrix's sensitivity what lies in the extract, in [0, 1]; None where chance chose it."""
    corner: tuple[int, int] | None
    """First row and column of a window."""


def extract(
    kind: Submatrix,
    matrix: Float[Tensor, "out_t in_t"],
    scores: Float[Tensor, "out_t in_t"] | None,
    shape: torch.Size,
    generator: torch.Generator,
) -> Extract:
    """The part of `matrix` of this shape.

    `window`: the contiguous one with the largest sum of scores. `rows_columns`: the rows and the columns with the
    highest mean score, in their order. `single_weights`: the weights with the highest scores wherever they are, row by
    row. `random_window`: a contiguous one anywhere. Of equal ones the first is taken.
    """
    height, width = shape
    if scores is None:
        assert kind == "random_window", "only chance needs no scores"
        return _window(matrix, _anywhere(matrix.shape, shape, generator), shape, None)
    if kind == "window":
        return _window(matrix, best_window(scores, height, width), shape, scores)
    if kind == "rows_columns":
        rows, columns = _top(scores.mean(1), height), _top(scores.mean(0), width)
        share = _share(scores[rows][:, columns], scores)
        return Extract(matrix[rows.to(matrix.device)][:, columns.to(matrix.device)], share, None)
    chosen = _top(scores.flatten(), height * width)
    taken = matrix.flatten()[chosen.to(matrix.device)].view(shape)
    return Extract(taken, _share(scores.flatten()[chosen], scores), None)


def _window(matrix: Tensor, corner: tuple[int, int], shape: torch.Size, scores: Tensor | None) -> Extract:
    here = tuple(slice(first, first + size) for first, size in zip(corner, shape, strict=True))
    return Extract(matrix[here], None if scores is None else _share(scores[here], scores), corner)


def _anywhere(large: torch.Size, small: torch.Size, generator: torch.Generator) -> tuple[int, int]:
    row, column = (
        int(torch.randint(n_large - n_small + 1, (), generator=generator))
        for n_large, n_small in zip(large, small, strict=True)
    )
    return row, column


def _top(scores: Float[Tensor, " n"], count: int) -> Tensor:
    """Indices of the highest scores, in their order."""
    return scores.argsort(descending=True, stable=True)[:count].sort().values


def _share(inside: Tensor, scores: Tensor) -> float:
    return float(inside.sum(dtype=torch.float64) / scores.sum(dtype=torch.float64))
