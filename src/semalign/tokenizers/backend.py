"""The `tokenizers` object inside a tokenizer: what its pieces mean is read from its parts, never from names."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from ..errors import UserError


def backend(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """The fast tokenizer that does the work; one without offsets into the text is refused."""
    if not tokenizer.is_fast:
        raise UserError(
            f"tokenizer '{tokenizer.name_or_path}' ({type(tokenizer).__name__}) is a slow one, which does not say "
            "where in a text its tokens are; save it as tokenizer.json and load that, or take another model"
        )
    return cast(Any, tokenizer).backend_tokenizer


@contextmanager
def untrimmed(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Without the post-processor, which may take spaces out of offsets; it does nothing else without special tokens."""
    core = backend(tokenizer)
    processor = core.post_processor
    core.post_processor = None  # pyright: ignore[reportAttributeAccessIssue]  # None is "none" there
    try:
        yield
    finally:
        core.post_processor = processor


def parts(component: Any) -> list[dict[str, Any]]:
    """The steps of a decoder, normaliser, pre-tokenizer or post-processor, with sequences opened; none for None."""
    return _opened(json.loads(component.__getstate__())) if component is not None else []


def _opened(state: dict[str, Any]) -> list[dict[str, Any]]:
    if state["type"] != "Sequence":
        return [state]
    (steps,) = (value for value in state.values() if isinstance(value, list))
    return [part for step in steps for part in _opened(step)]
