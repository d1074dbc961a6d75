"""Where a generated row ends: at its own first stop text; and what text its tokens are."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase, StoppingCriteria


class Continuation:
    """The text of tokens that stand after other text; decoded alone, some tokenizers would drop its first space."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._before: list[int] = list(tokenizer("x", add_special_tokens=False)["input_ids"])  # pyright: ignore
        self._n_before = len(self._decode([self._before])[0])

    def __call__(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return [text[self._n_before :] for text in self._decode([[*self._before, *tokens] for tokens in rows])]

    def _decode(self, rows: list[list[int]]) -> list[str]:
        return self.tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)


class StopTexts(StoppingCriteria):
    """Ends each row for itself as soon as its own text, not its prompt's, holds one of the stop texts."""

    def __init__(self, continuation: Continuation, stops: Sequence[str], n_prompt: int) -> None:
        self.continuation, self.stops, self.n_prompt = continuation, stops, n_prompt
        # A token holds at least one byte; one more token for a text that begins inside one.
        self.window = max(len(stop.encode()) for stop in stops) + 1

    def __call__(self, input_ids: Int[Tensor, "b pos"], scores: Any, **_: Any) -> Bool[Tensor, " b"]:
        recent = input_ids[:, max(self.n_prompt, input_ids.shape[1] - self.window) :]
        texts = self.continuation(recent.tolist())
        return torch.tensor([any(stop in text for stop in self.stops) for text in texts], device=input_ids.device)
