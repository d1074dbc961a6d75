"""Rows in the tokens of two models: where both have read the same of the answer, found by undoing the tokens."""

import copy
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors
from trained import trained

from semalign.data import Row, answer_coverage, encode_pair
from semalign.data.templates import prompt_text
from semalign.tokenizers import common_suffix, token_bytes

SIDES = ["byte_level", "byte_level_digits", "sentencepiece_gemma"]
"""Whose tokens without a BOS are the text, byte by byte."""
SHORT = ["The", "th", "the", "def", "\n", "a", " ", "12", "é", "caf", "日"]
REST = ["re is one", "e end", "ault = 3", "\nx", "pples", " the", "345", " café", "é", "本語", "x"]


def ends_of(example, tokenizer, prompt, template):
    """Bytes of the answer that have been read after each token, below 0 in the prompt; None at one that is no text."""
    pieces, size, ends = token_bytes(tokenizer), -len(prompt.encode()), []
    for token in example.input_ids:
        written = tokenizer.convert_ids_to_tokens(token).encode() if template == "chat" else None
        piece = pieces[token] or written  # the special tokens of a chat are in its text
        size += len(piece or b"")
        ends.append(None if piece is None else size)
    return ends


def check(row, example, tokenizers, template):
    """Every position of the student's stands where the teacher has read the same bytes, if anywhere it has."""
    examples = (example, example.of_teacher)
    prompts = [prompt_text(row, tokenizer, template) for tokenizer in tokenizers]
    ours, theirs = map(ends_of, examples, tokenizers, prompts, [template] * 2)
    least = -common_suffix(*prompts)
    last = example.teacher.last
    for i, end in enumerate(ours[: len(ours) if example.truncated else -1]):
        expected = theirs.index(end) if end is not None and end >= least and end in theirs else -1
        assert last[i] == expected, (i, end)
    if not example.truncated:
        whole = -1 if example.of_teacher.truncated else len(example.of_teacher.input_ids) - 1
        assert last[len(ours) - 1] == whole
    assert len(last) == len(ours)


def test_there_are_tokens_that_hold_a_whole_prompt_and_some_of_its_answer():
    assert len(trained("byte_level").tokenize("the")) == len(trained("sentencepiece_gemma").tokenize("the")) == 1


@pytest.mark.parametrize("pair", list(product(SIDES, SIDES)), ids="-".join)
@given(prompt=st.sampled_from(SHORT), answer=st.sampled_from(REST))
@settings(deadline=None)
def test_a_first_token_that_holds_prompt_and_answer_is_cut_apart_on_its_side_alone(pair, prompt, answer):
    tokenizers, row = [trained(scheme) for scheme in pair], Row("r", "t", prompt, answer)
    (example,) = encode_pair([row], *tokenizers, template="plain", max_length=50)
    check(row, example, tokenizers, "plain")
    assert example.n_prompt >= 1
    assert example.of_teacher.n_prompt >= 1


CHATS = [
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}",
    "{{ bos_token }}{% for m in messages %}{{ '→ 日本' if m['role'] == 'user' else '← café' }}: {{ m['content'] }}</s>"
    "{% endfor %}{% if add_generation_prompt %}← café:\n{% endif %}",
]
"""Of student and teacher: prompts differ, also in what a character takes, and end with the same few bytes."""
ROWS = [
    Row("a", "t", "Ærø? ", "print(add(1, 2))"),
    Row("b", "t", "Add 12 and 345 to 日本語, please:\n", "the sum is 357 and no café"),
    Row("c", "t", "naïve 😀\n", "😀 the end of the song, 2019"),
]


@cache
def begun(scheme, chat):
    """A tokenizer that puts a BOS before a text, with a chat template of its own."""
    tokenizer = copy.deepcopy(trained(scheme))
    special = [("<s>", tokenizer.bos_token_id)]
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=special)
    tokenizer.chat_template = CHATS[chat]
    return tokenizer


@pytest.mark.parametrize("template", ["plain", "chat"])
@pytest.mark.parametrize("pair", [pair for pair in product(SIDES, SIDES) if pair[0] != pair[1]], ids="-".join)
def test_each_side_reads_its_own_prompt_and_stands_where_the_other_has_read_as_much(pair, template):
    tokenizers = [begun(scheme, chat) for chat, scheme in enumerate(pair)]
    for row in ROWS:
        (whole,) = encode_pair([row], *tokenizers, template=template, max_length=1000)
        shortest = max(whole.n_prompt, whole.of_teacher.n_prompt) + 1
        longest = max(len(whole.input_ids), len(whole.of_teacher.input_ids))
        for max_length in range(shortest, longest + 1):
            (example,) = encode_pair([row], *tokenizers, template=template, max_length=max_length)
            check(row, example, tokenizers, template)
        last = whole.teacher.last
        assert whole.input_ids[0] == whole.of_teacher.input_ids[0] == tokenizers[0].bos_token_id
        assert last[0] == -1
        assert any(place >= 0 for place in last[: whole.n_prompt - 1])  # in what both prompts end with
        answer = [place >= 0 for place in last[whole.n_prompt - 1 : len(whole.input_ids) - 1]]
        assert answer_coverage([whole]) == sum(answer) / len(answer)


def test_coverage_counts_the_positions_before_answer_tokens_of_all_rows():
    tokenizers = [begun(scheme, chat) for chat, scheme in enumerate(("byte_level", "byte_level_digits"))]
    rows = encode_pair(ROWS, *tokenizers, template="plain", max_length=1000)
    asked = [(row, i) for row in rows for i in range(row.n_prompt - 1, len(row.input_ids) - 1)]
    followed = [row.teacher.last[i] >= 0 for row, i in asked]
    assert 0.5 < answer_coverage(rows) == sum(followed) / len(followed) < 1


@pytest.mark.parametrize("pair", [("byte_level", "byte_level_digits"), ("byte_level_digits", "byte_level")])
def test_the_ends_of_two_answers_are_the_same_where_both_are_whole(pair):
    tokenizers = [begun(scheme, chat) for chat, scheme in enumerate(pair)]
    row = Row("d", "t", "the song\n", "345, 345, 345")
    (whole,) = encode_pair([row], *tokenizers, template="plain", max_length=1000)
    sizes = [len(whole.input_ids), len(whole.of_teacher.input_ids)]
    assert whole.teacher.last[-1] == sizes[1] - 1
    (cut,) = encode_pair([row], *tokenizers, template="plain", max_length=max(sizes) - 1)
    assert [cut.truncated, cut.of_teacher.truncated] == [sizes[0] > sizes[1], sizes[1] > sizes[0]]
    assert (cut.teacher.last[-1] == -1) == cut.of_teacher.truncated
    check(row, cut, tokenizers, "plain")
