"""The embedded tokenizer and two real ones: everything ends somewhere, and two of them meet almost everywhere."""

from functools import cache

import pytest
from hypothesis import given, settings
from real import QWEN, SMOLLM2, real
from texts import texts
from transformers import AutoTokenizer

from semalign.embedded import teacher_folder
from semalign.tokenizers import NOWHERE, align, byte_ends, token_bytes

ANSWER = (
    "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nShe sold 48+24 = 72 clips altogether, for $1,250.75.\n"
    "def naïve(x):\r\n\treturn {'日本': x ** 2}  # 👍\n#### 72"
)


@cache
def embedded():
    return AutoTokenizer.from_pretrained(teacher_folder())


@cache
def real_bytes(name):
    return token_bytes(real(name))


@given(text=texts.filter(bool))
@settings(max_examples=60, deadline=None)
def test_every_embedded_token_ends_somewhere(text):
    ids, ends = byte_ends(embedded(), text)
    pieces = token_bytes(embedded())
    if None not in (pieces[token] for token in ids):
        assert b"".join(pieces[token] for token in ids) == text.encode()
    assert NOWHERE not in ends
    assert ends[-1] == len(text.encode())


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", [SMOLLM2, QWEN])
@given(text=texts.filter(bool))
@settings(max_examples=60, deadline=None)
def test_real_ends_never_decrease_and_are_exact_where_nothing_is_rewritten(name, text):
    ids, ends = byte_ends(real(name), text)
    somewhere = [end for end in ends if end != NOWHERE]
    assert somewhere == sorted(somewhere)
    pieces = real_bytes(name)
    read = [pieces[token] for token in ids]
    if None not in read and b"".join(read) == text.encode():
        assert [len(b"".join(read[: i + 1])) for i in range(len(read))] == ends


@pytest.mark.real
def test_smollm2_and_qwen_meet_at_almost_every_token():
    student, teacher = (byte_ends(real(name), ANSWER) for name in (SMOLLM2, QWEN))
    assert student.ends[-1] == teacher.ends[-1] == len(ANSWER.encode())
    found = align(student.ends, teacher.ends)
    for i, j in enumerate(found.last.tolist()):
        if j >= 0:
            assert real(SMOLLM2).decode(student.ids[: i + 1]) == real(QWEN).decode(teacher.ids[: j + 1])
    assert found.coverage > 0.85  # the rare characters are fewer and shorter tokens in the larger vocabulary
