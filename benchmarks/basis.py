"""The semantic basis against a pseudo-inverse in float64: `python benchmarks/basis.py`, one JSON object.

pinv(W^T) of a head W [151936, 896] (the shape of Qwen2.5-0.5B) with singular values over three decades, more than in a
real head (condition number 91 in SmolLM2-135M). Ours solves with the Gram matrix by blocks of rows; the reference is
`torch.linalg.pinv` in float64, which takes an SVD of the whole. The error is the largest difference over the largest
number; that of pinv in float32 is given beside it, because it looks fine and is not: its cut-off grows with the number
of rows and drops real directions.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from measure import cpu_seconds, peak_bytes

from semalign.basis.base import Vocabulary
from semalign.basis.cosine import Cosine, OutputBasis
from semalign.linalg.gram import row_blocks

N_TOKEN, WIDTH = 151936, 896
DECADES = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=N_TOKEN)
    parser.add_argument("--width", type=int, default=WIDTH)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measured(options.tokens, options.width)))
    return 0


def measured(n_token: int, width: int) -> dict[str, Any]:
    w = head(n_token, width)
    found: dict[str, torch.Tensor] = {}
    seconds = {by: cpu_seconds(lambda by=by: found.__setitem__(by, WAYS[by](w))) for by in ("gram", "pinv64", "pinv32")}
    scale = found["pinv64"].abs().max()
    errors = {by: float((found[by] - found["pinv64"]).abs().max() / scale) for by in ("gram", "pinv32")}
    peaks = {by: peak_bytes(case, by, n_token, width) for by in ("gram", "pinv64")}
    return {
        "basis_time_vs_pinv64": seconds["gram"] / seconds["pinv64"],
        "basis_memory_vs_pinv64": peaks["gram"] / peaks["pinv64"],
        "basis_error": errors["gram"],
        "pinv32_error": errors["pinv32"],
        "seconds": seconds,
        "peak_bytes": peaks,
        "shape": [n_token, width],
    }


def case(by: str, n_token: int, width: int) -> Callable[[], Any]:
    """The basis made, block by block where it can be: nothing needs it whole but the comparison."""
    return partial(blocks if by == "gram" else WAYS[by], head(n_token, width))


def head(n_token: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
    spread = torch.logspace(0, -DECADES, width)
    return (torch.randn(n_token, width, generator=generator) / width**0.5 * spread) @ rotation.T


def basis(w: torch.Tensor) -> OutputBasis:
    side = Vocabulary(head=w, embedding=w, gain=torch.ones(w.shape[1]))
    return OutputBasis(side, Cosine(ridge=0.0, unit_norm=False))


def blocks(w: torch.Tensor) -> float:
    """The sum of all numbers of the basis."""
    made = basis(w)
    return float(sum(made.rows(rows).sum() for rows in row_blocks(len(w))))


def whole(w: torch.Tensor) -> torch.Tensor:
    made, rows_of = basis(w), torch.empty(w.shape, dtype=torch.float64)
    for rows in row_blocks(len(w)):
        rows_of[rows] = made.rows(rows)
    return rows_of


def pinv(w: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return torch.linalg.pinv(w.to(dtype).T).double()


WAYS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gram": whole,
    "pinv64": partial(pinv, dtype=torch.float64),
    "pinv32": partial(pinv, dtype=torch.float32),
}


if __name__ == "__main__":
    sys.exit(main())
