"""Where the answer begins, what is supervised, and what truncation leaves."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trained import byte_level as trained_byte_level
from transformers import PreTrainedTokenizerFast

from semalign.data import Row, counts, encode
from semalign.errors import UserError

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=24).filter(str.strip)
LONG = 10_000


def row(prompt: str, answer: str, identifier: str = "r") -> Row:
    return Row(identifier, "t", prompt, answer)


def one(given_row: Row, tokenizer, *, template="plain", max_length=LONG):
    return encode([given_row], tokenizer, template=template, max_length=max_length)[0]


@pytest.mark.parametrize("name", ["plain", "with_bos"])
@pytest.mark.parametrize("template", ["plain", "chat"])
@settings(max_examples=60, deadline=None)
@given(prompt=TEXT, answer=TEXT)
def test_supervised_tokens_are_the_answer_and_one_end_token(request, name, template, prompt, answer):
    tokenizer = request.getfixturevalue(name)
    # A newline closes the prompt, as all layouts do: no token of these tokenizers reaches across it.
    example = one(row(prompt.rstrip() + "\n", "x" + answer), tokenizer, template=template)
    *text, end = example.input_ids[example.n_prompt :]
    assert tokenizer.decode(text) == "x" + answer
    assert tokenizer.decode([end]) == ("</s>" if template == "plain" else "<|end|>")
    assert example.answer_bytes == len(("x" + answer).encode())
    assert not example.truncated


@settings(max_examples=150, deadline=None)
@given(prompt=TEXT, answer=TEXT)
def test_the_first_supervised_token_is_the_first_with_an_answer_character(unsplit, prompt, answer):
    example = one(row(prompt, answer), unsplit)
    before, text = example.input_ids[1 : example.n_prompt], example.input_ids[example.n_prompt : -1]
    bytes_before, bytes_answer = raw(unsplit, before), raw(unsplit, text)
    assert bytes_before + bytes_answer == (prompt + answer).encode()
    assert len(bytes_before) <= len(prompt.encode())
    first_token = raw(unsplit, text[:1])
    assert len(bytes_before) + len(first_token) > len(prompt.encode())


def raw(tokenizer, ids: list[int]) -> bytes:
    """The bytes of byte-level tokens, which alone may be no text.

    GPT-2's table: printable Latin-1 stands for itself, the other bytes for 256, 257, ... in order.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = {256 + n: byte for n, byte in enumerate(byte for byte in range(256) if byte not in printable)}
    return bytes(moved.get(ord(shown), ord(shown)) for token in tokenizer.convert_ids_to_tokens(ids) for shown in token)


def test_a_token_across_the_boundary_is_supervised(unsplit):
    across = one(row("the answ", "er is 12"), unsplit)
    assert unsplit.decode(across.input_ids[across.n_prompt : -1]).endswith("er is 12")
    assert across.n_prompt < one(row("the answ\n", "er is 12"), unsplit).n_prompt


SPACED = st.lists(st.sampled_from(["b)\n", "    ret", "    ", "é"]), min_size=1).map("".join)


@pytest.fixture(scope="module")
def trims():
    """One tokenizer that leaves spaces out of its offsets, and the same without."""
    cores = [trained_byte_level(420, trim=trim) for trim in (True, False)]
    return [PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>") for core in cores]


@settings(max_examples=100, deadline=None)
@example(prompt="b)\n", answer="    ret", start=None, n=0)
@example(prompt="é", answer="b)\n    ret", start=7, n=2)
@given(prompt=SPACED, answer=SPACED, start=st.sampled_from([None, 7]), n=st.integers())
def test_spaces_that_a_tokenizer_leaves_out_of_its_offsets_are_supervised_and_counted(trims, prompt, answer, start, n):
    rows, how = [row(prompt, answer)], {"template": "plain", "decoder_start": start}
    (whole,) = encode(rows, trims[1], max_length=LONG, **how)
    longest = len(whole.input_ids)
    shortest = max(whole.n_prompt + 1, len(whole.encoder or ()))
    cut = shortest + n % max(longest - shortest, 1)
    for max_length in (longest + shortest, cut):
        trimmed, untrimmed = (encode(rows, tokenizer, max_length=max_length, **how) for tokenizer in trims)
        assert trimmed == untrimmed


def test_a_line_break_with_the_answers_indentation_in_one_token_is_supervised(trims):
    coded = one(row("def f(x):\n", "    return x"), trims[0])
    assert trims[0].convert_ids_to_tokens(coded.input_ids)[coded.n_prompt] == "ĊĠĠĠ"


def test_an_answer_always_has_a_token_before_it(unsplit_without_bos):
    """Without a BOS, prompt 'a' and answer 'b' would be the one token 'ab', which nothing predicts."""
    example = one(row("a", "b"), unsplit_without_bos)
    assert example.n_prompt == 1
    assert len(example.input_ids) == 3


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_one_bos_and_no_more(with_bos, plain, template):
    begin = one(row("hi\n", "there"), with_bos, template=template).input_ids
    assert begin.count(with_bos.bos_token_id) == 1
    assert begin[0] == with_bos.bos_token_id
    assert one(row("hi\n", "there"), plain).input_ids.count(plain.bos_token_id) == 0


def test_slow_tokenizers_supervise_the_same(slow):
    example = one(row("12+3 is", " 15"), slow)
    assert example.n_prompt == 7
    assert slow.decode(example.input_ids[7:-1]) == " 15"
    assert example.input_ids[-1] == slow.eos_token_id
    assert one(row("12+3 is", " 15"), slow, max_length=9).answer_bytes == 2


def test_truncation_is_from_the_right_and_counted(plain):
    rows = [row("ask\n", "α" * 10, "long"), row("ask\n", "β", "short")]
    whole = encode(rows, plain, template="plain", max_length=LONG)
    cut = encode(rows, plain, template="plain", max_length=whole[0].n_prompt + 8)
    assert cut[0].input_ids == whole[0].input_ids[: whole[0].n_prompt + 8]
    assert cut[0].answer_bytes == 8
    assert [example.truncated for example in cut] == [True, False]
    assert counts(cut) == {
        "rows": 2,
        "tokens": sum(len(example.input_ids) for example in cut),
        "supervised": 8 + whole[1].n_supervised,
        "truncated": 1,
    }


def test_losing_only_the_end_token_is_a_truncation_of_no_text(plain):
    whole = one(row("ask\n", "seven"), plain)
    cut = one(row("ask\n", "seven"), plain, max_length=len(whole.input_ids) - 1)
    assert cut.truncated
    assert cut.answer_bytes == whole.answer_bytes == 5


def test_a_row_without_any_answer_left_is_an_error_that_says_which_length_will_do(plain):
    rows = [row("ask\n", "seven"), row("ask a lot more than that\n", "seven and a half", "far")]
    longest = max(len(example.input_ids) for example in encode(rows, plain, template="plain", max_length=LONG))
    with pytest.raises(UserError, match=rf"task 't': max_length 5 .* 1 of 2 rows \(first: 'far'\); {longest} keeps"):
        encode(rows, plain, template="plain", max_length=5)
    assert counts(encode(rows, plain, template="plain", max_length=longest))["truncated"] == 0


def test_no_rows_make_no_examples(plain):
    assert encode([], plain, template="plain", max_length=8) == []


def test_equal_content_has_an_equal_key(plain):
    first, again, other = (one(row("ask\n", text, name), plain) for text, name in (("a", "1"), ("a", "2"), ("b", "3")))
    assert first.content_key == again.content_key != other.content_key
