"""Rows whose answers are of different lengths, and their losses by the model's own logits."""

import torch
from tiny import tokens
from torch.nn.functional import cross_entropy

from semalign.data import Example, collate


def examples(*sizes):
    """Rows of (tokens, of these prompt)."""
    rows = [tokens(length, seed=i).tolist() for i, (length, _) in enumerate(sizes)]
    return [Example(str(i), "t", row, n, 1, False) for i, (row, (_, n)) in enumerate(zip(rows, sizes, strict=True))]


ROWS = examples((9, 4), (5, 2), (7, 6))


def batch_of(*rows):
    return collate(rows, pad_id=0)


def example_losses(module, batch):
    """Cross-entropy of each row's answer, a token at a time, from the model's own logits."""
    logits = module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    losses = []
    for i in range(len(batch.ids)):
        where = [pos for pos in range(logits.shape[1]) if batch.mask[i, pos]]
        terms = [cross_entropy(logits[i, pos], batch.targets[i, pos]) for pos in where]
        losses.append(torch.stack(terms).mean())
    return torch.stack(losses)
