"""Examples as padded tensors."""

import dataclasses
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from .tokens import Example


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded at the right; `targets` is the next token, `mask` is True where the next token is an answer token."""

    ids: list[str]
    input_ids: Int[Tensor, "b pos"]
    attention_mask: Int[Tensor, "b pos"]
    targets: Int[Tensor, "b pos"]
    mask: Bool[Tensor, "b pos"]

    def to(self, device: torch.device | str) -> "Batch":
        return dataclasses.replace(
            self,
            **{name: getattr(self, name).to(device) for name in ("input_ids", "attention_mask", "targets", "mask")},
        )

    @property
    def n_tokens(self) -> int:
        """Tokens without padding."""
        return int(self.attention_mask.sum())

    @property
    def n_supervised(self) -> int:
        return int(self.mask.sum())


def collate(examples: Sequence[Example], pad_id: int) -> Batch:
    """One batch of the examples, in order."""
    width = max(len(example.input_ids) for example in examples)
    input_ids = torch.full((len(examples), width), pad_id, dtype=torch.long)
    attention_mask = torch.zeros((len(examples), width), dtype=torch.long)
    targets = input_ids.clone()
    mask = torch.zeros((len(examples), width), dtype=torch.bool)
    for i, example in enumerate(examples):
        length = len(example.input_ids)
        input_ids[i, :length] = torch.tensor(example.input_ids)
        attention_mask[i, :length] = 1
        targets[i, : length - 1] = input_ids[i, 1:length]
        mask[i, example.n_prompt - 1 : length - 1] = True
    return Batch([example.id for example in examples], input_ids, attention_mask, targets, mask)


def batches(
    examples: Sequence[Example], size: int, pad_id: int, *, shuffle_seed: int | str | None = None, window: int = 1
) -> Iterator[Batch]:
    """Batches of `size` rows (the last may be smaller): in order, or in an order that the seed alone decides.

    With `window` > 1, the rows of so many batches are sorted by length before they are cut into batches, and those
    batches shuffled again: less padding, at the price of batches of like lengths.
    """
    order = list(examples)
    rng = None if shuffle_seed is None else random.Random(f"{shuffle_seed}/batches")
    if rng is not None:
        rng.shuffle(order)
    for start in range(0, len(order), size * window):
        for part in _cut(order[start : start + size * window], size, window, rng):
            yield collate(part, pad_id)


def _cut(rows: list[Example], size: int, window: int, rng: random.Random | None) -> list[list[Example]]:
    if window > 1:
        rows = sorted(rows, key=lambda example: len(example.input_ids))
    parts = [rows[i : i + size] for i in range(0, len(rows), size)]
    if window > 1 and rng is not None:
        rng.shuffle(parts)
    return parts


def padding_share(given: Iterable[Batch]) -> float:
    """The share of padding among all positions, in [0, 1]."""
    filled = total = 0
    for batch in given:
        filled += batch.n_tokens
        total += batch.input_ids.numel()
    return 1 - filled / total if total else 0.0
