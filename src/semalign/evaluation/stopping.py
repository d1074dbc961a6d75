"""Where a generated row ends: at its own first stop text, and what text its tokens are."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase, StoppingCriteria


class StopTexts(StoppingCriteria):
    """Ends each row for itself as soon as its own text, not its prompt's, holds one of the stop texts."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str], n_prompt: int) -> None:
        self.tokenizer, self.stops, self.n_prompt = tokenizer, stops, n_prompt
        # A token holds at least one byte; one more token for a text that begins inside one.
        self.window = max(len(stop.encode()) for stop in stops) + 1

    def __call__(self, input_ids: Int[Tensor, "b pos"], scores: Any, **_: Any) -> Bool[Tensor, "b"]:
        recent = input_ids[:, max(self.n_prompt, input_ids.shape[1] - self.window) :]
        texts = [follow(self.tokenizer, tokens) for tokens in recent.tolist()]
        done = [any(stop in text for stop in self.stops) for text in texts]
        return torch.tensor(done, device=input_ids.device)


def follow(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """The text of tokens that stand after other text."""
    anchor = list(tokenizer("x", add_special_tokens=False)["input_ids"])  # pyright: ignore
    options: Mapping[str, Any] = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    before, whole = tokenizer.decode(anchor, **options), tokenizer.decode([*anchor, *tokens], **options)
    return str(whole)[len(str(before)) :]
