"""The bytes of text that each token of a tokenizer stands for."""

from transformers import PreTrainedTokenizerBase

from .backend import backend
from .scheme import scheme


def token_bytes(tokenizer: PreTrainedTokenizerBase) -> list[bytes | None]:
    """For every id the exact bytes of text, with the marks of the tokenizer's scheme undone.

    None for ids that stand for no text (special tokens, the unknown token) or for nothing at all (gaps). A piece that
    begins a word holds the space before it. Where a tokenizer normalises, these are bytes of the normalised text.
    """
    core, own = backend(tokenizer), scheme(tokenizer)
    in_model = core.get_vocab(with_added_tokens=False)
    whole = core.get_vocab(with_added_tokens=True)
    found: list[bytes | None] = [None] * (max(whole.values(), default=-1) + 1)
    textless = special_ids(tokenizer)
    for piece, token in whole.items():
        if token not in textless:
            # an added token is found in the text as it is written, so its characters are no marks
            found[token] = (own.bytes_of(piece) if piece in in_model else piece.encode()) or None
    return found


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of tokens that control a model and stand for no text."""
    added = tokenizer.added_tokens_decoder
    return set(tokenizer.all_special_ids) | {token for token, content in added.items() if content.special}
