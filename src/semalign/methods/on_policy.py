"""Answers of the student's own to the prompts of training rows."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import LogitsProcessor, LogitsProcessorList

from ..data import Example, padding_token
from ..models import GREEDY, Drawn, LanguageModel, evaluating


def sample_answers(
    student: LanguageModel,
    rows: Sequence[Example],
    *,
    tokens: Int[Tensor, "n_token"],
    temperature: float,
    max_new_tokens: int,
    seeds: Sequence[int],
) -> list[Example]:
    """The rows with an answer that the student draws in place of the given one, up to and with its first end token.

    Drawn from the softmax over `tokens` of logits over the temperature, without dropout; each row by its own seed, so
    that neither the batch nor the global random numbers make a difference. An answer without an end is `truncated`.
    """
    prompts = [torch.tensor(row.input_ids[: row.n_prompt]) for row in rows]
    pad, ends = padding_token(student.tokenizer), end_tokens(student, rows)
    ids = pad_sequence(prompts, batch_first=True, padding_value=pad, padding_side="left")
    real = pad_sequence([torch.ones_like(prompt) for prompt in prompts], batch_first=True, padding_side="left")
    with evaluating(student.module):
        written = student.module.generate(  # pyright: ignore[reportCallIssue]
            input_ids=ids.to(student.device),
            attention_mask=real.to(student.device),
            max_new_tokens=max_new_tokens,
            logits_processor=LogitsProcessorList([Only(tokens), Drawn(temperature, seeds)]),
            eos_token_id=sorted(ends),
            pad_token_id=pad,
            **GREEDY,
        )
    answers = written[:, ids.shape[1] :].tolist()
    return [_answered(row, answer, ends, student) for row, answer in zip(rows, answers, strict=True)]


def end_tokens(student: LanguageModel, rows: Sequence[Example]) -> set[int]:
    """What ends an answer: the last token of the given ones, and what the model's own configuration names."""
    given = [row.input_ids[-1] for row in rows if not row.truncated]
    named = (*student.configured_ends, student.tokenizer.eos_token_id)
    return {token for token in (*given, *named) if isinstance(token, int)}


def _answered(row: Example, answer: list[int], ends: Collection[int], student: LanguageModel) -> Example:
    end = next((i for i, token in enumerate(answer) if token in ends), None)
    kept = answer if end is None else answer[: end + 1]
    text = student.tokenizer.decode(answer[:end])
    return replace(
        row,
        input_ids=[*row.input_ids[: row.n_prompt], *kept],
        answer_bytes=len(str(text).encode()),
        truncated=end is None,
    )


class Only(LogitsProcessor):
    """No token but the given ones: padded rows of a head are no tokens, and the teacher must know what it reads."""

    def __init__(self, tokens: Int[Tensor, "n_token"]) -> None:
        self.tokens = tokens

    def __call__(self, input_ids: Int[Tensor, "b pos"], scores: Float[Tensor, "b n_row"]) -> Float[Tensor, "b n_row"]:
        allowed = self.tokens.to(scores.device)
        return torch.full_like(scores, -torch.inf).index_copy(1, allowed, scores[:, allowed])
