"""A locating row: its tokens before the last word of the answer, and that word as the target."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from ...data import Batch

CLOSING = set(".,;:!?'\")]}") | set(" \n\t")


@dataclass(frozen=True)
class LocatingRow:
    """What both models read, and the token they are asked for after it."""

    id: str
    input_ids: tuple[int, ...]
    target: int


def locating_row(
    identifier: str, input_ids: Sequence[int], n_prompt: int, tokenizer: PreTrainedTokenizerBase
) -> LocatingRow:
    """The target is the last answer token that is more than punctuation, space or a special token.

    The last token of an answer without such a token.
    """
    place = len(input_ids) - 1
    for i in range(len(input_ids) - 1, max(n_prompt, 1) - 1, -1):
        if set(str(tokenizer.decode([input_ids[i]], skip_special_tokens=True))) - CLOSING:
            place = i
            break
    return LocatingRow(identifier, tuple(input_ids[:place]), input_ids[place])


def rows_of(batches: Sequence[Batch], tokenizer: PreTrainedTokenizerBase) -> list[LocatingRow]:
    """A locating row of each row of the batches, in order."""
    rows = []
    for batch in batches:
        lengths, starts = batch.attention_mask.sum(1).tolist(), batch.mask.int().argmax(1).tolist()
        for i, (length, start) in enumerate(zip(lengths, starts, strict=True)):
            rows.append(locating_row(batch.ids[i], batch.input_ids[i, :length].tolist(), start + 1, tokenizer))
    return rows
