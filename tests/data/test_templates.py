"""What the model sees before the answer."""

import dataclasses

import pytest

from semalign.data import Row, end_token, padding_token, prompt_text, prompt_tokens
from semalign.errors import UserError

TURN = {"role": "user", "content": "2+2?"}
ROW = Row("r1", "t", "Question: 2+2?\nAnswer:\n", "4", (TURN,))


def test_plain_is_the_prompt_as_it_is(plain):
    assert prompt_text(ROW, plain, "plain") == ROW.prompt


def test_chat_renders_the_turns_up_to_the_answer(plain):
    assert prompt_text(ROW, plain, "chat") == "<s><|turn|>user\n2+2?<|end|>\n<|turn|>assistant\n"
    bare = dataclasses.replace(ROW, messages=None)
    assert prompt_text(bare, plain, "chat") == f"<s><|turn|>user\n{ROW.prompt}<|end|>\n<|turn|>assistant\n"


def test_a_last_turn_of_the_assistant_opens_the_answer(plain):
    opened = dataclasses.replace(ROW, messages=(TURN, {"role": "assistant", "content": "It is"}))
    assert prompt_text(opened, plain, "chat") == prompt_text(ROW, plain, "chat") + "It is"


def test_prompt_tokens_begin_as_training_does(with_bos):
    assert prompt_tokens(ROW, with_bos, "plain") == with_bos(ROW.prompt).input_ids
    chat = prompt_tokens(ROW, with_bos, "chat")
    assert chat == with_bos(prompt_text(ROW, with_bos, "chat"), add_special_tokens=False).input_ids


def test_the_end_token_is_what_the_template_writes_after_an_answer(plain):
    assert end_token(plain, "plain") == plain.eos_token_id
    assert end_token(plain, "chat") == plain.convert_tokens_to_ids("<|end|>")


def test_padding_falls_back_to_the_end_token(plain):
    assert plain.pad_token_id is None
    assert padding_token(plain) == plain.eos_token_id


def test_no_chat_template_is_one_clear_line(slow):
    with pytest.raises(UserError, match=r"has no chat template; use template: plain$"):
        prompt_text(ROW, slow, "chat")


def test_a_template_that_refuses_the_turns_names_the_row(plain, monkeypatch):
    monkeypatch.setattr(plain, "chat_template", "{{ raise_exception('no system\nturns') }}")
    with pytest.raises(UserError, match=r"^task 't' row 'r1': .*refuses it \(no system turns\)"):
        prompt_text(ROW, plain, "chat")


def test_no_end_token_is_one_clear_line(plain, monkeypatch):
    monkeypatch.setattr(plain, "_special_tokens_map", {**plain._special_tokens_map, "eos_token": None})
    with pytest.raises(UserError, match="has no eos_token"):
        end_token(plain, "plain")
