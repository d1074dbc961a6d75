"""Rows for encoder-decoders: what each part reads, and which of another model's positions have read the same text."""

import copy

import pytest
import torch
from tokenizers import processors
from trained import trained

from semalign.data import Row, answer_coverage, collate, counts, encode, encode_pair, prompt_coverage
from semalign.errors import UserError

ROWS = [
    Row("a", "t", "Add 12 and 345:\n", "the sum is 357"),
    Row("b", "t", "Say it: ", "a café"),
    Row("c", "t", "Print two:", "print(add(1, 2))"),
]
START = 7
UNALIGNED = -1


def around(scheme, before="<s>", after="</s>"):
    """A tokenizer that puts special tokens around a text, as BART's does; T5's has only the one after it."""
    tokenizer = copy.deepcopy(trained(scheme))
    specials = [(token, tokenizer.convert_tokens_to_ids(token)) for token in (before, after) if token]
    single = " ".join(["$A" if token is None else token for token in ([before] if before else []) + [None, after]])
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=specials)
    return tokenizer


def encoded(tokenizer, start=START, **changes):
    return encode(ROWS, tokenizer, **({"template": "plain", "max_length": 60, "decoder_start": start} | changes))


@pytest.mark.parametrize("scheme", ["byte_level", "unigram_nfkc", "sentencepiece_llama"])
def test_the_encoder_reads_the_prompt_and_the_decoder_begins_with_its_start(scheme):
    tokenizer = around(scheme, before=None)
    for row, example in zip(ROWS, encoded(tokenizer), strict=True):
        assert list(example.encoder) == tokenizer(row.prompt).input_ids
        assert example.encoder[-1] == tokenizer.eos_token_id
        assert example.n_prompt == 1
        assert example.input_ids == [START, *tokenizer(row.answer).input_ids]
        assert example.answer_bytes == len(row.answer.encode())
        assert example.n_read == len(example.encoder) + len(example.input_ids)
    assert counts(encoded(tokenizer))["tokens"] == sum(e.n_read for e in encoded(tokenizer))


def test_special_tokens_before_a_text_are_given_to_the_decoder_and_not_asked_for():
    tokenizer = around("byte_level")
    example = encoded(tokenizer)[0]
    assert example.n_prompt == 2
    assert example.input_ids == [START, *tokenizer(ROWS[0].answer).input_ids]
    batch = collate([example], 0)
    assert batch.targets[batch.mask].tolist() == tokenizer(ROWS[0].answer).input_ids[1:]


def test_each_part_is_padded_by_itself():
    examples = encoded(around("byte_level", before=None))
    batch = collate(examples, 0)
    for i, example in enumerate(examples):
        n, m = len(example.input_ids), len(example.encoder)
        assert batch.input_ids[i, :n].tolist() == example.input_ids
        assert batch.attention_mask[i].tolist() == [1] * n + [0] * (batch.input_ids.shape[1] - n)
        assert batch.encoder.input_ids[i, :m].tolist() == list(example.encoder)
        assert batch.encoder.attention_mask[i].sum() == m
        assert batch.targets[i][batch.mask[i]].tolist() == example.input_ids[1:]
        alone = batch.encoder.row(i)
        assert alone.input_ids.tolist() == [list(example.encoder)]
    assert batch.n_read == sum(e.n_read for e in examples)
    assert batch.to("meta").encoder.input_ids.device.type == "meta"


def test_answers_are_cut_and_prompts_never():
    tokenizer = around("byte_level", before=None)
    whole = encoded(tokenizer)
    longest = max(len(e.encoder) for e in whole)
    with pytest.raises(UserError, match=r"max_length \d+ leaves no answer in 1 of 3 rows \(first: 'c'\); "):
        encoded(tokenizer, max_length=longest - 1)
    row = Row("d", "t", "x", "the lazy dog sleeps and sleeps again and again")
    (cut,) = encode([row], tokenizer, template="plain", max_length=5, decoder_start=START)
    assert cut.truncated
    assert len(cut.input_ids) == 5
    assert cut.answer_bytes == len(tokenizer.decode(cut.input_ids[1:]).encode())
    enough = max(max(len(e.encoder), len(e.input_ids)) for e in whole)
    assert not any(e.truncated for e in encoded(tokenizer, max_length=enough))


def test_the_key_of_a_row_knows_its_prompt():
    tokenizer = around("byte_level", before=None)
    one, two = (
        encode([Row("a", "t", prompt, "yes")], tokenizer, template="plain", max_length=9, decoder_start=START)[0]
        for prompt in ("x", "y")
    )
    assert one.input_ids == two.input_ids
    assert one.content_key != two.content_key


def read_texts(example, tokenizer, row):
    """The answer's bytes that each position has read, found by decoding; None before the whole prompt is read."""
    if example.encoder is None:
        texts = [None] * len(example.input_ids)
        for i in range(len(example.input_ids) - 1):
            text = tokenizer.decode(example.input_ids[: i + 1], skip_special_tokens=True)
            if text.startswith(row.prompt):
                texts[i] = text[len(row.prompt) :]
        return texts
    return [
        None if i < example.n_prompt - 1 else tokenizer.decode(example.input_ids[example.n_prompt : i + 1])
        for i in range(len(example.input_ids) - 1)
    ] + [None]


@pytest.mark.parametrize(
    ("schemes", "starts"),
    [
        (("byte_level", "byte_level"), (START, None)),
        (("byte_level", "byte_level"), (None, START)),
        (("byte_level", "byte_level_digits"), (START, None)),
        (("byte_level_digits", "byte_level"), (None, START)),
        (("byte_level", "byte_level_digits"), (START, START + 1)),
    ],
)
@pytest.mark.parametrize("special", [None, "<s>"])
def test_positions_are_matched_where_both_have_read_the_same_of_the_answer(schemes, starts, special):
    sides = [
        around(scheme, before=special if start is not None else None) if start is not None else trained(scheme)
        for scheme, start in zip(schemes, starts, strict=True)
    ]
    examples = encode_pair(ROWS, *sides, template="plain", max_length=60, starts=starts)
    for row, example in zip(ROWS, examples, strict=True):
        ours = read_texts(example, sides[0], row)
        theirs = read_texts(example.teacher.example, sides[1], row)
        for i, place in enumerate(example.teacher.last[:-1]):
            if ours[i] is None:
                continue
            if place == UNALIGNED:
                assert ours[i] not in [text for text in theirs if text is not None]
            else:
                assert theirs[place] == ours[i]
        assert example.teacher.last[-1] == len(example.teacher.example.input_ids) - 1
    if schemes[0] == schemes[1]:  # in row b the space before the answer is part of a token of the answer's
        assert answer_coverage([examples[0], examples[2]]) == 1
        assert UNALIGNED in examples[1].teacher.last[examples[1].n_prompt - 1 :]


def test_a_batch_holds_the_teachers_prompts_where_its_encoder_reads_them():
    teacher = around("byte_level", before=None)
    rows = encode_pair(ROWS, trained("byte_level"), teacher, template="plain", max_length=60, starts=(None, START))
    batch = collate([rows[0], rows[2]], 0)
    assert batch.encoder is None
    assert batch.of_teacher.encoder.input_ids[0, : len(rows[0].teacher.example.encoder)].tolist() == list(
        rows[0].teacher.example.encoder
    )
    assert torch.equal(batch.followed, batch.mask)


def prefixes(ids, tokenizer):
    """The text up to and with each token, special ones not counted; None at a special one."""
    special = set(tokenizer.all_special_ids)
    return [
        None if token in special else tokenizer.decode(ids[: i + 1], skip_special_tokens=True)
        for i, token in enumerate(ids)
    ]


PROMPTS = [
    Row(str(i), "t", prompt, "yes") for i, prompt in enumerate(["Add 12 and 345:", "the lazy dog eats", "2019 or 7"])
]


@pytest.mark.parametrize("special", [None, "<s>"])
@pytest.mark.parametrize("teacher_start", [None, START + 1])
@pytest.mark.parametrize("schemes", [("byte_level", "byte_level_digits"), ("byte_level_digits", "byte_level")])
def test_tokens_of_the_prompt_are_matched_where_both_have_read_as_much_of_it(schemes, teacher_start, special):
    student = around(schemes[0], before=special)
    teacher = trained(schemes[1]) if teacher_start is None else around(schemes[1], before=None)
    rows = encode_pair(
        PROMPTS, student, teacher, template="plain", max_length=60, starts=(START, teacher_start), spans="mean"
    )
    n_matched = 0
    for example in rows:
        other = example.teacher.example
        ours = prefixes(example.encoder, student)
        theirs = prefixes(other.input_ids if other.encoder is None else other.encoder, teacher)
        assert len(example.teacher.prompt_last) == len(example.encoder)
        before = 0
        for i, (first, last) in enumerate(zip(example.teacher.prompt_first, example.teacher.prompt_last, strict=True)):
            if last == UNALIGNED:
                assert ours[i] is None or ours[i] not in theirs
                continue
            assert theirs[last] == ours[i]
            assert before <= first <= last
            before = last + 1
            n_matched += 1
    n_read = sum(len(example.encoder) for example in rows)
    assert prompt_coverage(rows) == n_matched / n_read > 0.3

    prompts = collate(rows, 0).prompts
    assert prompts.encoder is None
    assert torch.equal(prompts.aligned, prompts.teacher.last >= 0)
    assert not prompts.mask[:, 0].any()
    assert int((prompts.aligned & (prompts.attention_mask == 0)).sum()) == 0
    assert not (prompts.followed & (prompts.teacher.last == 0)).any()
    assert prompts.to("meta").teacher.last.device.type == "meta"
    assert collate(rows, 0).to("meta").prompts.teacher.last.device.type == "meta"
    read = prompts.of_teacher.input_ids[0].tolist()
    other = rows[0].teacher.example
    whole = other.input_ids if other.encoder is None else list(other.encoder)
    assert read[: len(whole)] == whole


def test_two_encoders_that_read_alike_are_followed_at_every_token_but_the_first():
    tokenizer = around("byte_level", before=None)
    batch = collate(encoded(tokenizer), 0)
    prompts = batch.prompts
    assert torch.equal(prompts.input_ids, batch.encoder.input_ids)
    assert prompts.of_teacher is prompts
    assert prompts.followed.sum(1).tolist() == [len(row.encoder) - 1 for row in encoded(tokenizer)]
