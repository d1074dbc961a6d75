"""Rows as tokens, with the exact place where the answer begins and an end token that is supervised too."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from ..artifacts import key
from ..errors import UserError
from ..tokenizers.backend import untrimmed
from .rows import Row
from .templates import (
    Template,
    decoder_tokens,
    encoder_tokens,
    end_token,
    leading_tokens,
    prompt_text,
    text_tokens,
)


@dataclass(frozen=True)
class Example:
    """A row as tokens: `input_ids[n_prompt:]` are the answer's.

    They begin with the first token that holds any of the answer's characters and close with the end token.
    `answer_bytes` are UTF-8 bytes of the answer's text, in a truncated row of what is left of it.
    """

    id: str
    task: str
    input_ids: list[int]
    n_prompt: int
    answer_bytes: int
    truncated: bool
    teacher: "TeacherExample | None" = None
    """None: the teacher reads the same tokens."""
    encoder: tuple[int, ...] | None = None
    """What the encoder of an encoder-decoder reads, the prompt; `input_ids[:n_prompt]` are then what its decoder begins
    with. None: a decoder-only model."""

    @property
    def n_supervised(self) -> int:
        return len(self.input_ids) - self.n_prompt

    @property
    def n_read(self) -> int:
        """Tokens that a model reads of this row, an encoder's too."""
        return len(self.input_ids) + len(self.encoder or ())

    @property
    def of_teacher(self) -> "Example":
        """The same row as the teacher reads it."""
        return self if self.teacher is None else self.teacher.example

    @property
    def content_key(self) -> str:
        """A key that is equal where tokens and boundary are equal, those of the teacher too."""
        own = [self.input_ids, self.n_prompt, *([] if self.encoder is None else [self.encoder])]
        if self.teacher is None:
            return key(*own)
        return key(*own, self.teacher.example.content_key, self.teacher.first, self.teacher.last)


@dataclass(frozen=True)
class TeacherExample:
    """The same row in the tokens of a teacher with another tokenizer."""

    example: Example
    first: list[int]
    last: list[int]
    """By student position: the span of this row's positions that stands for it; at `last` the same text has been read.
    -1 for both where there is none."""
    prompt_first: Sequence[int] = ()
    prompt_last: Sequence[int] = ()
    """The same by position of the student's encoder, where it has one: positions of the teacher's encoder, or of
    `example` where the teacher is decoder-only. At `last` the same of the prompt lies behind."""


def encode(
    rows: Iterable[Row],
    tokenizer: PreTrainedTokenizerBase,
    *,
    template: Template,
    max_length: int,
    decoder_start: int | None = None,
) -> list[Example]:
    """One example a row, in order, cut at `max_length` tokens from the right.

    No row is dropped, because that would unpair the scores of two models: a row that would lose its whole answer is an
    error that says which `max_length` keeps every row whole. With the `decoder_start` of an encoder-decoder the encoder
    gets the prompt, which is never cut, and the decoder the answer: `max_length` holds for each of them.
    """
    rows = list(rows)
    if not rows:
        return []
    end = end_token(tokenizer, template)
    if decoder_start is None:
        leading = leading_tokens(tokenizer, template)
        coded = [_coded(row, prompt_text(row, tokenizer, template), tokenizer, leading) for row in rows]
    else:
        begin = decoder_tokens(tokenizer, template, decoder_start)
        coded = [_coded_apart(row, tokenizer, template, begin) for row in rows]
    lost = [row for row, parts in zip(rows, coded, strict=True) if not parts.fits(max_length)]
    if lost:
        whole = max(max(len(parts.ids) + 1, len(parts.encoder or ())) for parts in coded)
        raise UserError(
            f"task '{lost[0].task}': max_length {max_length} leaves no answer in {len(lost)} of {len(rows)} rows "
            f"(first: '{lost[0].id}'); {whole} keeps every row whole"
        )
    return [_cut(row, parts, end, max_length) for row, parts in zip(rows, coded, strict=True)]


def counts(examples: Sequence[Example]) -> dict[str, int]:
    """Rows, tokens, supervised tokens, and rows cut at the right."""
    return {
        "rows": len(examples),
        "tokens": sum(example.n_read for example in examples),
        "supervised": sum(example.n_supervised for example in examples),
        "truncated": sum(example.truncated for example in examples),
    }


class Coded(NamedTuple):
    """A row's tokens without the end token, how many are the prompt's, and the answer's bytes up to the end of each."""

    ids: list[int]
    n_prompt: int
    bytes_up_to: list[int]
    encoder: tuple[int, ...] | None = None

    def fits(self, max_length: int) -> bool:
        """Whether some of the answer is left of so many tokens."""
        return self.n_prompt < max_length and len(self.encoder or ()) <= max_length


def _coded(row: Row, prompt: str, tokenizer: PreTrainedTokenizerBase, leading: list[int]) -> Coded:
    coded = _by_offsets(row, prompt, tokenizer, leading) if tokenizer.is_fast else None
    return coded or _by_parts(row, prompt, tokenizer, leading)


def _by_offsets(row: Row, prompt: str, tokenizer: PreTrainedTokenizerBase, leading: list[int]) -> Coded | None:
    """Prompt and answer as one text; a token may hold characters of both. None where none is before the answer."""
    ids, ends = _with_ends(tokenizer, prompt + row.answer)
    n_prompt = len(leading) + next((i for i, end in enumerate(ends) if end > len(prompt)), len(ends))
    if n_prompt == 0:
        return None
    sizes = [_n_bytes(row.answer[: max(0, end - len(prompt))]) for end in ends]
    return Coded(leading + ids, n_prompt, [0] * len(leading) + sizes)


def _by_parts(row: Row, prompt: str, tokenizer: PreTrainedTokenizerBase, leading: list[int]) -> Coded:
    """Without offsets: the tokens of the full text where they begin with those of the prompt, else of both apart."""
    before, whole = text_tokens(tokenizer, prompt), text_tokens(tokenizer, prompt + row.answer)
    begins = bool(before) and whole[: len(before)] == before
    answer = whole[len(before) :] if begins else text_tokens(tokenizer, row.answer)
    sizes = [_n_bytes(str(tokenizer.decode(answer[: i + 1]))) for i in range(len(answer))]
    n_prompt = len(leading) + len(before)
    return Coded(leading + before + answer, n_prompt, [0] * n_prompt + sizes)


def _coded_apart(row: Row, tokenizer: PreTrainedTokenizerBase, template: Template, begin: list[int]) -> Coded:
    """Prompt and answer as two texts, for an encoder and a decoder."""
    if tokenizer.is_fast:
        answer, ends = _with_ends(tokenizer, row.answer)
        sizes = [_n_bytes(row.answer[:end]) for end in ends]
    else:
        answer = text_tokens(tokenizer, row.answer)
        sizes = [_n_bytes(str(tokenizer.decode(answer[: i + 1]))) for i in range(len(answer))]
    encoder = tuple(encoder_tokens(row, tokenizer, template))
    return Coded([*begin, *answer], len(begin), [0] * len(begin) + sizes, encoder)


def _with_ends(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[int]]:
    """The tokens of a text and the character after each one's last, spaces included."""
    with untrimmed(tokenizer):
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return list(encoded.input_ids), [end for _, end in encoded.offset_mapping]


def _n_bytes(text: str) -> int:
    return len(text.encode())


def _cut(row: Row, parts: Coded, end: int, max_length: int) -> Example:
    kept = [*parts.ids, end][:max_length]
    truncated = len(kept) <= len(parts.ids)
    size = parts.bytes_up_to[len(kept) - 1] if truncated else _n_bytes(row.answer)
    return Example(row.id, row.task, kept, parts.n_prompt, size, truncated, encoder=parts.encoder)
