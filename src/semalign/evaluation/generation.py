"""Generation of a batch of prompts: each row begins with what it owes and ends at its own first stop text."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from semalign.evaluation.texts import Continuation, Prompt
from semalign.models import GREEDY, Drawn


def generate(
    module: PreTrainedModel,
    prompts: Sequence[Prompt],
    continuation: Continuation,
    *,
    max_new_tokens: int,
    stops: Sequence[str],
    ends: Sequence[int],
    pad: int,
    drawn: Drawn | None = None,
) -> list[str]:
    """The text after each prompt, up to its first stop text or end token; the same in any batch.

    Greedy, unless `drawn` holds a stream of random numbers for each row.
    """
    rows = [torch.tensor(prompt.tokens) for prompt in prompts]
    ids = pad_sequence(rows, batch_first=True, padding_value=pad, padding_side="left")
    ones = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side="left")
    owed, n_prompt = [prompt.owed for prompt in prompts], ids.shape[1]
    processors = [Owed(continuation, owed, n_prompt)] if any(owed) else []
    processors += [drawn] if drawn else []
    tokens = module.generate(  # pyright: ignore[reportCallIssue]
        input_ids=ids.to(module.device),
        attention_mask=ones.to(module.device),
        max_new_tokens=max_new_tokens,
        logits_processor=LogitsProcessorList(processors),
        stopping_criteria=StoppingCriteriaList([StopTexts(continuation, stops, owed, n_prompt)] if stops else []),
        eos_token_id=list(ends),
        pad_token_id=pad,
        **GREEDY,
    )
    written = [_until(row, ends) for row in tokens[:, n_prompt:].tolist()]
    texts = continuation(written)
    return [_before_stops(text[len(start) :], stops) for text, start in zip(texts, owed, strict=True)]


def _until(tokens: list[int], ends: Sequence[int]) -> list[int]:
    return tokens[: next((i for i, token in enumerate(tokens) if token in ends), len(tokens))]


def _before_stops(text: str, stops: Sequence[str]) -> str:
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


class Owed(LogitsProcessor):
    """Lets each row write only tokens that agree with the text it owes, until that is written."""

    def __init__(self, continuation: Continuation, owed: Sequence[str], n_prompt: int) -> None:
        self.vocabulary, self.owed, self.n_prompt = continuation.vocabulary, owed, n_prompt
        self._masks: dict[str, Tensor] = {}

    def __call__(self, input_ids: Int[Tensor, "b pos"], scores: Float[Tensor, "b n_row"]) -> Float[Tensor, "b n_row"]:
        written = input_ids[:, self.n_prompt :].tolist()
        if len(written[0]) >= max(len(text) for text in self.owed):  # a token writes at least one character
            return scores
        for row, (tokens, owed) in enumerate(zip(written, self.owed, strict=True)):
            left = owed[sum(len(self.vocabulary[token]) for token in tokens) :]
            if left:
                scores[row, ~self._mask(left, scores)] = -torch.inf
        return scores

    def _mask(self, left: str, scores: Float[Tensor, "b n_row"]) -> Bool[Tensor, " n_row"]:
        if left not in self._masks:
            agree = [bool(text) and (text.startswith(left) or left.startswith(text)) for text in self.vocabulary]
            mask = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
            mask[: len(agree)] = torch.tensor(agree[: len(mask)], device=scores.device)
            self._masks[left] = mask
        return self._masks[left]


class StopTexts(StoppingCriteria):
    """Ends each row for itself as soon as its own text, after what it owes, holds one of the stop texts."""

    def __init__(self, continuation: Continuation, stops: Sequence[str], owed: Sequence[str], n_prompt: int) -> None:
        self.continuation, self.stops, self.owed, self.n_prompt = continuation, stops, owed, n_prompt
        # A token holds at least one byte; one more token for a text that begins inside one.
        self.window = max(len(stop.encode()) for stop in stops) + 1
        self.start = max(len(text) for text in owed)

    def __call__(self, input_ids: Int[Tensor, "b pos"], scores: Any, **_: Any) -> Bool[Tensor, " b"]:
        written = input_ids[:, self.n_prompt :]
        if written.shape[1] > self.window + self.start:  # what is owed lies before the window
            texts = self.continuation(written[:, -self.window :].tolist())
        else:
            whole = self.continuation(written.tolist())
            texts = [text[len(owed) :] for text, owed in zip(whole, self.owed, strict=True)]
        return torch.tensor([any(stop in text for stop in self.stops) for text in texts], device=input_ids.device)
