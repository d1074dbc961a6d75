"""Between tokens and text where a generation begins: texts of tokens, and whitespace before an answer.

A tokenizer may join the whitespace that ends a prompt with what follows: training then shows the model one token for a
newline and an indentation, and never the newline alone. So generation begins before such whitespace, and the model has
to write it first, in whatever tokens it likes best ("token healing"). Not so before a chat's answer: the newline that a
template ends with is a token of its own wherever chats are trained, and no model was ever asked to write it.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase


class Prompt(NamedTuple):
    """What generation starts from, and the whitespace of the prompt that the generated text has to begin with."""

    tokens: list[int]
    owed: str


class Written(NamedTuple):
    """A generated text, and whether an end token or a stop text ended it, or else the room for new tokens."""

    text: str
    ended: bool


class Opening:
    """The text of tokens that a decoder writes from its beginning."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        # a space that some tokenizers put before a text, and do not take off again
        (probe,) = self._decode([list(tokenizer("x", add_special_tokens=False)["input_ids"])])  # pyright: ignore
        self._added = probe.removesuffix("x")

    def __call__(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return [text.removeprefix(self._added) for text in self._decode(rows)]

    def _decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return self.tokenizer.batch_decode(
            [list(row) for row in rows], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )


class Continuation:
    """The text of tokens that stand after other text; decoded alone, some tokenizers would drop its first space."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._before: list[int] = list(tokenizer("x", add_special_tokens=False)["input_ids"])  # pyright: ignore
        self._n_before = len(self._decode([self._before])[0])

    def __call__(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return [text[self._n_before :] for text in self._decode([[*self._before, *tokens] for tokens in rows])]

    @cached_property
    def vocabulary(self) -> list[str]:
        """The text of every token by id; '' for special ones."""
        return self([[token] for token in range(len(self.tokenizer))])

    def open(self, text: str, tokens: Sequence[int]) -> Prompt:
        """The prompt without its last tokens, as far as they are whitespace alone and end `text`, which may be owed."""
        kept, owed = list(tokens), ""
        while len(kept) > 1:
            (last,) = self([kept[-1:]])
            if not last.isspace() or not text.endswith(last + owed):
                break
            kept, owed = kept[:-1], last + owed
        return Prompt(kept, owed)

    def _decode(self, rows: list[list[int]]) -> list[str]:
        return self.tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
