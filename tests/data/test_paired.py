"""Rows in the tokens of two models: where both have read the same of the answer, found by undoing the tokens."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trained import trained

from semalign.data import Row, encode_pair
from semalign.data.templates import prompt_text
from semalign.tokenizers import common_suffix, token_bytes

SIDES = ["byte_level", "byte_level_digits", "sentencepiece_gemma"]
"""Whose tokens without a BOS are the text, byte by byte."""
SHORT = ["The", "th", "the", "def", "\n", "a", " ", "12", "é", "caf", "日"]
REST = ["re is one", "e end", "ault = 3", "\nx", "pples", " the", "345", " café", "é", "本語", "x"]


def ends_of(example, tokenizer, prompt):
    """Bytes of the answer that have been read after each token of the text, below 0 in the prompt; BOS and end None."""
    pieces, special = token_bytes(tokenizer), tokenizer.all_special_ids
    size, ends = -len(prompt.encode()), []
    for token in example.input_ids:
        size += len(pieces[token] or b"")
        ends.append(None if token in special else size)
    return ends


def check(row, example, tokenizers, template):
    """Every position of the student's stands where the teacher has read the same bytes, if anywhere it has."""
    examples = (example, example.of_teacher)
    prompts = [prompt_text(row, tokenizer, template) for tokenizer in tokenizers]
    ours, theirs = map(ends_of, examples, tokenizers, prompts)
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
