"""Losses over the vocabulary by chunks of tokens: the gradient is made in the forward, no [n, vocabulary] is kept."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

# Least logits a chunk, 32 MiB of float32: blocks of that size glibc gives back at once, smaller ones it keeps in
# pieces, which can treble the peak; larger ones are no faster.
LOGITS_AT_ONCE = 2**23
ROWS_AT_ONCE = 192  # least rows a chunk: with fewer, reading the head from memory takes longer than multiplying by it

Part = Callable[[Float[Tensor, "rows d"], slice], tuple[Float[Tensor, ""], Float[Tensor, " k"]]]
"""States of some rows, and which rows they are: what is differentiated, and what is reported beside it."""


def sum_by_chunks(
    part: Part, h: Float[Tensor, "n d"], n_column: int, parameters: Sequence[Tensor] = ()
) -> tuple[Float[Tensor, ""], Float[Tensor, " k"]]:
    """Both results of `part` summed over chunks of rows; the first has a gradient, to the states and to `parameters`.

    `part` makes `n_column` logits a row; those of one chunk are all that is held at once. `parameters` are the tensors
    it uses that may require a gradient. The gradient is made along with the value, so that nothing runs twice, and
    kept at the size of its tensors; it cannot be differentiated again.
    Source: Hsu et al. 2024, arXiv:2410.10989 (Liger), section 3.2.
    """
    trained = [p for p in parameters if p.requires_grad]
    n_chunk = max(len(h) // max(LOGITS_AT_ONCE // n_column + 1, ROWS_AT_ONCE), 1)
    edges = [i * len(h) // n_chunk for i in range(n_chunk + 1)]
    chunks = [slice(first, end) for first, end in pairwise(edges)]
    if torch.is_grad_enabled() and (h.requires_grad or trained):
        return _Chunks.apply(part, chunks, h, *trained)  # pyright: ignore[reportReturnType]  apply is not typed
    losses, reports = zip(*(part(h[rows], rows) for rows in chunks), strict=True)
    return torch.stack(losses).sum(), torch.stack(reports).sum(0)


def columns(logits: Float[Tensor, "n n_row"], tokens: Int[Tensor, "n_token"]) -> Float[Tensor, "n n_token"]:
    """The columns of some tokens; a view where they are the first ones, as they are in a pair with one tokenizer."""
    first = torch.arange(len(tokens), device=tokens.device)
    return logits[:, : len(tokens)] if torch.equal(tokens, first) else logits[:, tokens]


class _Chunks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Part, chunks: list[slice], h: Tensor, *trained: Tensor) -> tuple[Tensor, Tensor]:
        of_states = torch.empty_like(h) if h.requires_grad else None
        sums = [torch.zeros_like(p, dtype=torch.promote_types(p.dtype, torch.float32)) for p in trained]
        losses, reports = [], []
        for rows in chunks:
            piece = h[rows].detach().requires_grad_(h.requires_grad)
            with torch.enable_grad():
                loss, report = part(piece, rows)
            sources = [*([piece] if h.requires_grad else []), *trained]
            found = list(torch.autograd.grad(loss, sources, materialize_grads=True))
            if of_states is not None:
                of_states[rows] = found.pop(0)
            for summed, gradient in zip(sums, found, strict=True):
                summed.add_(gradient)
            losses.append(loss.detach())
            reports.append(report.detach())
        ctx.save_for_backward(of_states, *(summed.to(p.dtype) for summed, p in zip(sums, trained, strict=True)))
        reported = torch.stack(reports).sum(0)
        ctx.mark_non_differentiable(reported)
        return torch.stack(losses).sum(), reported

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor, _reported: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(None if g is None else g * scale.to(g.dtype) for g in ctx.saved_tensors)
