"""Rows as the tokens of two models with two tokenizers, and which positions of the two have read the same text."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from ..tokenizers import NOWHERE, Spans, align, byte_ends, common_suffix
from .rows import Row
from .templates import Template, leading_tokens, prompt_text
from .tokens import Example, TeacherExample, encode


def encode_pair(
    rows: Iterable[Row],
    student: PreTrainedTokenizerBase,
    teacher: PreTrainedTokenizerBase,
    *,
    template: Template,
    max_length: int,
    spans: Spans = "last",
    starts: tuple[int | None, int | None] = (None, None),
) -> list[Example]:
    """The rows as the student's tokens, each with the teacher's in `teacher`; both are cut at `max_length` tokens.

    Each side gets its own template, so prompts may differ: positions are matched in the answer, and in what both
    prompts end with. The end tokens of two answers that are whole stand for each other. `starts` are the tokens that
    the decoders of student and teacher begin with where they are encoder-decoders: such a side has positions in the
    answer alone, and at the first of them has read the whole prompt.
    """
    rows = list(rows)
    ours, theirs = (
        encode(rows, tokenizer, template=template, max_length=max_length, decoder_start=start)
        for tokenizer, start in zip((student, teacher), starts, strict=True)
    )
    return [
        replace(mine, teacher=_aligned(row, (mine, student), (other, teacher), template, spans))
        for row, mine, other in zip(rows, ours, theirs, strict=True)
    ]


def answer_coverage(examples: Sequence[Example]) -> float:
    """Share of the positions before an answer token at which the teacher has read the same text, in [0, 1]."""
    return _followed([e.teacher.last[e.n_prompt - 1 : -1] for e in examples if e.teacher is not None])


def prompt_coverage(examples: Sequence[Example]) -> float:
    """Share of the tokens that the student's encoder reads at which the teacher has read as much, in [0, 1]."""
    return _followed([e.teacher.prompt_last for e in examples if e.teacher is not None])


def _followed(last: Sequence[Sequence[int]]) -> float:
    """The share of the positions of all rows that have one of the teacher's; 1 where there is no position."""
    n_position = sum(map(len, last))
    return sum(place >= 0 for row in last for place in row) / n_position if n_position else 1.0


def _aligned(
    row: Row,
    student: tuple[Example, PreTrainedTokenizerBase],
    teacher: tuple[Example, PreTrainedTokenizerBase],
    template: Template,
    spans: Spans,
) -> TeacherExample:
    prompts = [prompt_text(row, tokenizer, template) for _, tokenizer in (student, teacher)]
    ends = [_ends(*side, row, prompt, template) for side, prompt in zip((student, teacher), prompts, strict=True)]
    found = align(*ends, n_common=common_suffix(*prompts), spans=spans)
    first, last = found.first.tolist(), found.last.tolist()
    (mine, _), (other, _) = student, teacher
    if not mine.truncated:
        whole = len(other.input_ids) - 1 if not other.truncated else -1
        first, last = [*first, whole], [*last, whole]
    if mine.encoder is None:
        return TeacherExample(other, first, last)
    read = _prompt_ends(mine, student[1], prompts[0], template)
    theirs = ends[1] if other.encoder is None else _prompt_ends(other, teacher[1], prompts[1], template)
    prompt = align(read, theirs, n_common=common_suffix(*prompts), spans=spans)
    return TeacherExample(other, first, last, prompt.first.tolist(), prompt.last.tolist())


def _ends(example: Example, tokenizer: PreTrainedTokenizerBase, row: Row, prompt: str, template: Template) -> list[int]:
    """The byte at which each token ends, from the start of the answer; without the end token."""
    if example.encoder is not None:
        _, ends = byte_ends(tokenizer, row.answer)
        n_text = len(example.input_ids) - (0 if example.truncated else 1)
        return [*(NOWHERE for _ in range(example.n_prompt - 1)), 0, *ends][:n_text]
    leading = leading_tokens(tokenizer, template)
    n_text = len(example.input_ids) - (0 if example.truncated else 1)
    start, kept = len(prompt.encode()), example.input_ids[len(leading) : n_text]
    ids, ends = byte_ends(tokenizer, prompt + row.answer)
    ends = [end - start for end in ends]
    if ids[: len(kept)] != kept:  # one token would hold all of the prompt and some of the answer
        before, answer = byte_ends(tokenizer, prompt), byte_ends(tokenizer, row.answer)
        ids, ends = before.ids + answer.ids, [*(end - start for end in before.ends), *answer.ends]
    assert ids[: len(kept)] == kept, "both ways of making tokens give the same"
    return [*(NOWHERE for _ in leading), *ends][:n_text]


def _prompt_ends(example: Example, tokenizer: PreTrainedTokenizerBase, prompt: str, template: Template) -> list[int]:
    """The byte at which each token of an encoder ends, from the prompt's end: 0 or less, NOWHERE for special tokens."""
    assert example.encoder is not None
    leading = leading_tokens(tokenizer, template)
    ids, ends = byte_ends(tokenizer, prompt)
    n_before, n_text = len(leading), len(leading) + len(ids)
    assert list(example.encoder[n_before:n_text]) == ids, "both ways of making tokens give the same"
    size = len(prompt.encode())
    after = len(example.encoder) - n_text
    return [*(NOWHERE for _ in leading), *(end - size for end in ends), *(NOWHERE for _ in range(after))]
