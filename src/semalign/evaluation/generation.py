"""Generation of a batch of prompts: each row begins with what it owes and ends at its own first stop text."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad as pad_to_right
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from semalign.evaluation.padding import padded
from semalign.evaluation.prefix import can_share
from semalign.evaluation.texts import Continuation, Opening, Prompt, Written
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
) -> list[Written]:
    """The text after each prompt, up to its first stop text or end token; the same in any batch.

    Greedy, unless `drawn` holds a stream of random numbers for each row. Rows that have ended leave the batch.
    """
    ids, ones = padded([prompt.tokens for prompt in prompts], pad, module.device, side="left")
    n_prompt, rows = ids.shape[1], list(range(len(prompts)))
    written: list[list[int]] = [[] for _ in rows]
    options: dict[str, Any] = {}
    while rows:
        owed = [prompts[row].owed for row in rows]
        processors = [Owed(continuation, owed, n_prompt)] if any(owed) else []
        ended = Ended(
            StopTexts(continuation, stops, owed, n_prompt) if stops else None, ends, pauses=can_share(module.config)
        )
        with warnings.catch_warnings():
            # transformers 5.23 renames the argument, earlier ones know no other
            warnings.filterwarnings("ignore", message="`past_key_values` is deprecated", category=FutureWarning)
            output: Any = module.generate(  # pyright: ignore[reportCallIssue]
                input_ids=ids,
                attention_mask=ones,
                max_new_tokens=n_prompt + max_new_tokens - ids.shape[1],
                logits_processor=LogitsProcessorList(processors + ([drawn] if drawn else [])),
                stopping_criteria=StoppingCriteriaList([ended]),
                eos_token_id=list(ends),
                pad_token_id=pad,
                return_dict_in_generate=True,
                **options,
                **GREEDY,
            )
        n_new = output.sequences.shape[1] - ids.shape[1]
        for place, row in enumerate(rows):
            written[row] = output.sequences[place, n_prompt:].tolist()
        left = [] if len(written[rows[0]]) == max_new_tokens else ended.left
        ids, ones = output.sequences[left], pad_to_right(ones[left], (0, n_new), value=1)
        rows = [rows[place] for place in left]
        if rows:
            output.past_key_values.batch_select_indices(torch.tensor(left, device=ids.device))
            options["past_key_values"] = output.past_key_values
            if drawn:
                drawn.keep(left)
    texts = continuation([until_end(row, ends) for row in written])
    own = [text[len(prompt.owed) :] for text, prompt in zip(texts, prompts, strict=True)]
    return ended_texts(own, written, stops=stops, ends=ends)


def ended_texts(
    texts: Sequence[str], tokens: Sequence[Sequence[int]], *, stops: Sequence[str], ends: Sequence[int]
) -> list[Written]:
    """Each text up to its first stop text; `tokens` are what it was made of, an end token among them where one came."""
    kept = [before_stops(text, stops) for text in texts]
    return [
        Written(short, len(short) < len(text) or any(token in ends for token in row))
        for text, short, row in zip(texts, kept, tokens, strict=True)
    ]


def until_end(tokens: list[int], ends: Sequence[int]) -> list[int]:
    """The tokens before the first end token."""
    return tokens[: next((i for i, token in enumerate(tokens) if token in ends), len(tokens))]


def before_stops(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop text."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


class Ended(StoppingCriteria):
    """Which rows have ended, by an end token or a stop text; with `pauses`, a quarter of them ends the whole call."""

    def __init__(self, stop_texts: "StopTexts | None", ends: Sequence[int], *, pauses: bool) -> None:
        self.stop_texts, self.ends, self.pauses = stop_texts, ends, pauses
        self.done: Tensor | None = None

    def __call__(self, input_ids: Int[Tensor, "b pos"], scores: Any, **_: Any) -> Bool[Tensor, " b"]:
        done = torch.isin(input_ids[:, -1], torch.tensor(self.ends, device=input_ids.device))
        if self.stop_texts is not None:
            done = done | self.stop_texts(input_ids, scores)
        self.done = done if self.done is None else self.done | done
        enough = self.pauses and 4 * int(self.done.sum()) >= len(self.done)
        return torch.ones_like(self.done) if enough else self.done

    @property
    def left(self) -> list[int]:
        """The rows that have not ended."""
        return [] if self.done is None else (~self.done).nonzero()[:, 0].tolist()


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

    def __init__(
        self, continuation: Continuation | Opening, stops: Sequence[str], owed: Sequence[str], n_prompt: int
    ) -> None:
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
