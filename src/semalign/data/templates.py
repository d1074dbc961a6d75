"""The text around an answer: what the model sees before it, and the token that ends it.

`plain` is the row's prompt and answer joined with nothing between; `chat` is the tokenizer's chat template with its
generation prompt.
"""

from typing import Any, Literal, cast

from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from .rows import Row

Template = Literal["plain", "chat"]


def prompt_text(row: Row, tokenizer: PreTrainedTokenizerBase, template: Template) -> str:
    """The exact text before the answer, the same in training and in evaluation."""
    if template == "plain":
        return row.prompt
    turns = list(row.messages or ({"role": "user", "content": row.prompt},))
    opening = row_text(row, template)
    if turns[-1]["role"] == "assistant":
        turns.pop()
    where = f"task '{row.task}' row '{row.id}'"
    return _render(tokenizer, turns, where=where, add_generation_prompt=True) + opening


def row_text(row: Row, template: Template) -> str:
    """What the row itself says at the end of `prompt_text`: all of it, or what opens the answer of a chat, often ''."""
    if template == "plain":
        return row.prompt
    last = (row.messages or ({"role": "user", "content": ""},))[-1]
    return last["content"] if last["role"] == "assistant" else ""


def prompt_tokens(row: Row, tokenizer: PreTrainedTokenizerBase, template: Template) -> list[int]:
    """The tokens of `prompt_text` with the leading special tokens that training uses; what generation starts from."""
    text = prompt_text(row, tokenizer, template)
    return leading_tokens(tokenizer, template) + text_tokens(tokenizer, text)


def encoder_tokens(row: Row, tokenizer: PreTrainedTokenizerBase, template: Template) -> list[int]:
    """What an encoder reads: the tokens of `prompt_text`, with the special ones the tokenizer puts around a text."""
    text = prompt_text(row, tokenizer, template)
    return text_tokens(tokenizer, text) if template == "chat" else list(tokenizer(text).input_ids)


def decoder_tokens(tokenizer: PreTrainedTokenizerBase, template: Template, start: int) -> list[int]:
    """What a decoder begins with: its start token, and those that the tokenizer puts before a text (BART's <s>)."""
    return [start, *leading_tokens(tokenizer, template)]


def leading_tokens(tokenizer: PreTrainedTokenizerBase, template: Template) -> list[int]:
    """Special tokens that the tokenizer puts before a text (some a BOS); none for chat: the template writes its own."""
    if template == "chat":
        return []
    with_special, bare = list(tokenizer("a").input_ids), text_tokens(tokenizer, "a")
    for start in range(len(with_special) - len(bare) + 1):
        if with_special[start : start + len(bare)] == bare:
            return with_special[:start]
    raise AssertionError("special tokens change the tokens of the text")


def end_token(tokenizer: PreTrainedTokenizerBase, template: Template) -> int:
    """The token that ends an answer: EOS, or the special token a chat template writes there (not EOS in Gemma)."""
    if template == "chat":
        probe = "an answer"
        turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": probe}]
        tail = _render(tokenizer, turns, where="chat template").rpartition(probe)[2]
        special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
        for token in text_tokens(tokenizer, tail):
            if token in special:
                return token
    if tokenizer.eos_token_id is None:
        raise UserError(f"tokenizer '{tokenizer.name_or_path}' has no eos_token; set it in its tokenizer_config.json")
    return cast(int, tokenizer.eos_token_id)


def padding_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills up short rows; never read, so any real token does where the tokenizer names none."""
    given = [token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id) if token is not None]
    return cast(int, given[0]) if given else 0


def text_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of a text alone."""
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def _render(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], *, where: str, **options: Any) -> str:
    if not tokenizer.chat_template:
        raise UserError(f"tokenizer '{tokenizer.name_or_path}' has no chat template; use template: plain")
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, **options))
    except Exception as error:  # jinja2 raises whatever a template asks for (unsupported roles, order of turns)
        reason = " ".join(str(error).split())
        raise UserError(f"{where}: the tokenizer's chat template refuses it ({reason}); use template: plain") from None
