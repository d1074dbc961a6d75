"""Arbitrary texts in both templates: tokens or one line; the answer's tokens are the answer, all of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import texts
from tiny_run import make_tokenizer

from semalign.data import Row, encode
from semalign.errors import UserError

FUZZ = settings(max_examples=40, deadline=None, derandomize=True)
CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{{ '<assistant>' if add_generation_prompt }}"
TOKENIZER = make_tokenizer()
TOKENIZER.chat_template = CHAT
filled = texts.filter(str.strip)


@pytest.mark.parametrize("template", ["plain", "chat"])
@FUZZ
@given(prompt=filled, answer=filled)
def test_prompt_and_answer_come_back_and_the_boundary_is_between_them(template, prompt, answer):
    (example,) = encode([Row("r", "t", prompt, answer)], TOKENIZER, template=template, max_length=10_000)
    before, after = example.input_ids[: example.n_prompt], example.input_ids[example.n_prompt : -1]
    text = prompt if template == "plain" else f"<user>{prompt}\n<assistant>"
    assert TOKENIZER.decode([*before, *after]) == text + answer
    # one token may hold the end of the prompt and the beginning of the answer; it is supervised
    assert text.encode().startswith(raw(before))
    assert raw(after).endswith(answer.encode())
    assert len(raw(after[1:])) < len(answer.encode())
    assert example.input_ids[-1] == TOKENIZER.eos_token_id
    assert example.answer_bytes == len(answer.encode())


@pytest.mark.parametrize("template", ["plain", "chat"])
@FUZZ
@given(prompt=filled, answer=filled, max_length=st.integers(1, 40))
def test_a_row_is_cut_within_its_answer_or_refused(template, prompt, answer, max_length):
    rows = [Row("r", "t", prompt, answer)]
    try:
        (example,) = encode(rows, TOKENIZER, template=template, max_length=max_length)
    except UserError:
        (whole,) = encode(rows, TOKENIZER, template=template, max_length=10_000)
        assert whole.n_prompt >= max_length
        return
    assert example.n_prompt < len(example.input_ids) <= max_length
    assert example.answer_bytes <= len(answer.encode())
    assert example.truncated == (example.input_ids[-1] != TOKENIZER.eos_token_id or max_length < example.n_prompt + 1)


@FUZZ
@given(source=st.text(alphabet="{}%|.# messagesforinif()[]'\"01\n", max_size=40))
def test_any_chat_template_gives_tokens_or_one_line(source):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = source or "{"
    try:
        encode([Row("r", "t", "a", "b")], tokenizer, template="chat", max_length=100)
    except UserError:
        return


def raw(ids):
    """The bytes of tokens of a byte-level tokenizer; special tokens stand for their own text."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    back = {letter: byte for byte, letter in bytes_to_unicode().items()}
    return bytes(back[letter] for token in TOKENIZER.convert_ids_to_tokens(ids) for letter in token)
