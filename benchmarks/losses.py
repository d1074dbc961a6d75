"""Losses over the vocabulary by chunks against the plain ones: `python benchmarks/losses.py`, one JSON line a size.

KL at temperature 2 and cross-entropy of 1,024 tokens, from final states of student and teacher to the gradient of the
student's, float32, frozen heads. The plain side makes all logits of both models and lets autograd go back through them.
Sizes are the vocabularies of SmolLM2 (135M student, 360M teacher) and Qwen2.5 (0.5B, 1.5B).
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from measure import alternated, peak_bytes

from semalign.losses.chunks import sum_by_chunks
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.kl import ForwardKL

SIZES = {49152: (576, 960), 151936: (896, 1536)}
N = 1024
LOSSES = ForwardKL(temperature=2.0), CrossEntropy()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vocabulary", type=int, choices=SIZES, help="one size; both without it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for n_token, widths in SIZES.items():
        if options.vocabulary in (None, n_token):
            print(json.dumps(measured(n_token, widths, options.rounds)), flush=True)
    return 0


def measured(n_token: int, widths: tuple[int, int], rounds: int) -> dict[str, Any]:
    bytes_chunked, bytes_plain = (peak_bytes(case, by, n_token, widths) for by in ("chunks", "plain"))
    time = alternated(*(case(by, n_token, widths) for by in ("chunks", "plain")), rounds)
    return {
        "n_token": n_token,
        "time": time,
        "memory": bytes_chunked / bytes_plain,
        "bytes_chunked": bytes_chunked,
        "bytes_plain": bytes_plain,
    }


def case(by: str, n_token: int, widths: tuple[int, int]) -> Callable[[], Any]:
    """One loss and its gradient, on tensors that are there already."""
    generator = torch.Generator().manual_seed(0)
    (h, h_t), heads = ([torch.randn(n, d, generator=generator) for d in widths] for n in (N, n_token))
    head, head_t = (w / w.shape[1] ** 0.5 for w in heads)
    gold = torch.randint(0, n_token, (N,), generator=generator)
    return partial(chunked if by == "chunks" else plain, h.requires_grad_(), head, h_t, head_t, gold)


def total(logits: torch.Tensor, said: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    everywhere = torch.ones(len(gold), dtype=torch.bool)
    return LOSSES[0].total(logits, said, everywhere) + LOSSES[1].total(logits, gold, everywhere)


def chunked(h: torch.Tensor, head: torch.Tensor, h_t: torch.Tensor, head_t: torch.Tensor, gold: torch.Tensor):
    def part(piece: torch.Tensor, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            said = h_t[rows] @ head_t.T
        loss = total(piece @ head.T, said, gold[rows])
        return loss, loss.unsqueeze(0)

    return torch.autograd.grad(sum_by_chunks(part, h, len(head))[0], h)


def plain(h: torch.Tensor, head: torch.Tensor, h_t: torch.Tensor, head_t: torch.Tensor, gold: torch.Tensor):
    return torch.autograd.grad(total(h @ head.T, h_t @ head_t.T, gold), h)


if __name__ == "__main__":
    sys.exit(main())
