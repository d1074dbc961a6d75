"""Examples as padded tensors."""

import dataclasses
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .tokens import Example


class EncoderRows(NamedTuple):
    """What the encoder of an encoder-decoder reads, padded at the right."""

    input_ids: Int[Tensor, "b e_pos"]
    attention_mask: Int[Tensor, "b e_pos"]

    def row(self, index: int) -> "EncoderRows":
        """One row as a batch of its own, without its padding."""
        here = (slice(index, index + 1), slice(int(self.attention_mask[index].sum())))
        return EncoderRows(self.input_ids[here], self.attention_mask[here])


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded at the right; `targets` is the next token, `mask` is True where the next token is an answer token.

    Of an encoder-decoder positions are the decoder's, which hold what it begins with and the answer.
    """

    ids: list[str]
    input_ids: Int[Tensor, "b pos"]
    attention_mask: Int[Tensor, "b pos"]
    targets: Int[Tensor, "b pos"]
    mask: Bool[Tensor, "b pos"]
    teacher: "TeacherRows | None" = None
    """None: the teacher reads the same tokens."""
    encoder: EncoderRows | None = None
    """The prompts of an encoder-decoder."""

    def to(self, device: torch.device | str) -> "Batch":
        moved: dict[str, Any] = {
            name: getattr(self, name).to(device) for name in ("input_ids", "attention_mask", "targets", "mask")
        }
        if self.encoder is not None:
            moved["encoder"] = EncoderRows(*(part.to(device) for part in self.encoder))
        return dataclasses.replace(self, **moved, teacher=self.teacher and self.teacher.to(device))

    @property
    def of_teacher(self) -> "Batch":
        """The same rows as the teacher reads them."""
        return self if self.teacher is None else self.teacher.batch

    @property
    def aligned(self) -> Bool[Tensor, "b pos"]:
        """Where the teacher has a state that has read the same text."""
        return self.attention_mask.bool() if self.teacher is None else self.teacher.last >= 0

    @property
    def followed(self) -> Bool[Tensor, "b pos"]:
        """The positions of the mask where the teacher can be followed."""
        return self.mask & self.aligned

    def at_student(self, states: Float[Tensor, "b t_pos d"]) -> Float[Tensor, "b pos d"]:
        """The teacher's states at the student's positions; anything where there is none."""
        return states if self.teacher is None else self.teacher.at_student(states)

    @property
    def prompts(self) -> "Batch":
        """What the encoder reads, and beside it what the teacher reads of it, as a batch of its own.

        `mask` is True at every token but the first, and nothing is followed at the teacher's first: it is an attention
        sink in most models, whose length drowns every other. `targets` are no next tokens.
        """
        assert self.encoder is not None, "only rows of an encoder-decoder have a part for its encoder"
        ids, attention_mask = self.encoder
        teacher = None if self.teacher is None else self.teacher.of_prompts
        mask = attention_mask.bool()
        mask[:, 0] = False
        return Batch(self.ids, ids, attention_mask, ids, mask, teacher)

    @property
    def n_tokens(self) -> int:
        """Tokens without padding."""
        return int(self.attention_mask.sum())

    @property
    def n_read(self) -> int:
        """Tokens that a model reads, padding not counted: those of `n_tokens`, and an encoder's."""
        return self.n_tokens + (0 if self.encoder is None else int(self.encoder.attention_mask.sum()))

    @property
    def n_supervised(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True, eq=False)
class TeacherRows:
    """The rows of a batch in the tokens of a teacher with another tokenizer."""

    batch: Batch
    first: Int[Tensor, "b pos"]
    last: Int[Tensor, "b pos"]
    """The teacher's positions first..last that stand for each of the student's: at `last` it has read the same text. -1
    for both where there are none."""
    prompt: tuple[Int[Tensor, "b e_pos"], Int[Tensor, "b e_pos"]] | None = None
    """The same for the positions of the student's encoder, where it has one."""

    def to(self, device: torch.device | str) -> "TeacherRows":
        prompt = self.prompt and (self.prompt[0].to(device), self.prompt[1].to(device))
        return TeacherRows(self.batch.to(device), self.first.to(device), self.last.to(device), prompt)

    @property
    def of_prompts(self) -> "TeacherRows":
        """What the teacher reads of the prompts: its encoder's part, or its rows where it is decoder-only."""
        assert self.prompt is not None, "the student has an encoder"
        batch = self.batch if self.batch.encoder is None else self.batch.prompts
        first, last = (places.masked_fill(self.prompt[1] == 0, -1) for places in self.prompt)
        return TeacherRows(batch, first, last)

    def at_student(self, states: Float[Tensor, "b t_pos d"]) -> Float[Tensor, "b pos d"]:
        """The mean of each span's states."""
        if torch.equal(self.first, self.last):
            return states.gather(1, self.last.clamp(min=0).unsqueeze(-1).expand(-1, -1, states.shape[-1]))
        at = torch.arange(states.shape[1], device=states.device)
        inside = (at >= self.first.unsqueeze(-1)) & (at <= self.last.unsqueeze(-1))
        length = (self.last - self.first + 1).unsqueeze(-1)
        return (inside / length).to(states.dtype) @ states


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
    ids = [example.id for example in examples]
    return Batch(
        ids, input_ids, attention_mask, targets, mask, _teacher_rows(examples, width), _encoder_rows(examples, pad_id)
    )


def _encoder_rows(examples: Sequence[Example], pad_id: int) -> EncoderRows | None:
    given = [torch.tensor(example.encoder) for example in examples if example.encoder is not None]
    if not given:
        return None
    assert len(given) == len(examples), "the rows of a batch are all for an encoder-decoder, or none is"
    ids = pad_sequence(given, batch_first=True, padding_value=pad_id)
    return EncoderRows(ids, pad_sequence([torch.ones_like(row) for row in given], batch_first=True))


def _teacher_rows(examples: Sequence[Example], width: int) -> TeacherRows | None:
    given = [example.teacher for example in examples if example.teacher is not None]
    if not given:
        return None
    assert len(given) == len(examples), "the rows of a batch are all aligned, or none is"
    first, last = (_places([getattr(row, name) for row in given], width) for name in ("first", "last"))
    batch = collate([teacher.example for teacher in given], pad_id=0)  # an id of every vocabulary, never read
    prompt = None
    if examples[0].encoder is not None:
        longest = max(len(example.encoder or ()) for example in examples)
        spans = [[row.prompt_first for row in given], [row.prompt_last for row in given]]
        prompt = (_places(spans[0], longest), _places(spans[1], longest))
    return TeacherRows(batch, first, last, prompt)


def _places(rows: Sequence[Sequence[int]], width: int) -> Int[Tensor, "b width"]:
    """Positions, -1 where a row has none."""
    found = torch.full((len(rows), width), -1, dtype=torch.long)
    for i, row in enumerate(rows):
        found[i, : len(row)] = torch.tensor(row)
    return found


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
