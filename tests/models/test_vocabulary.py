"""Two tokenizers agree where every shared id is the same token."""

import copy
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from tiny import tiny, tiny_tokenizer
from tokenizers import normalizers, pre_tokenizers
from trained import GROUPS, counting

from semalign.models import shared_tokens, tokenizers_agree
from semalign.models.vocabulary import agreement


def with_more_tokens(model, *tokens):
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.add_tokens(list(tokens))
    return replace(model, tokenizer=tokenizer)


def test_one_tokenizer_agrees_with_itself_whatever_the_padding():
    teacher, student = tiny("llama", n_row=340), tiny("gpt2", n_row=331)
    agreement = tokenizers_agree(teacher, student)
    n_token = len(tiny_tokenizer())
    assert (agreement.n_shared, agreement.n_teacher, agreement.n_student) == (n_token, n_token, n_token)
    assert torch.equal(shared_tokens(teacher, student).student, torch.arange(n_token))


def test_a_teacher_may_have_more_tokens():
    teacher, student = with_more_tokens(tiny(), "<extra>"), tiny()
    agreement = tokenizers_agree(teacher, student)
    assert agreement.n_teacher == agreement.n_student + 1 == agreement.n_shared + 1


def test_tokens_beyond_the_rows_are_not_real():
    n_token = len(tiny_tokenizer())
    student = tiny(n_row=n_token - 4)
    assert student.n_token == n_token - 4
    assert torch.equal(shared_tokens(tiny(), student).student, torch.arange(n_token - 4))


def test_a_token_with_two_ids_is_shared_and_the_difference_is_told():
    teacher, student = with_more_tokens(tiny(), "<a>", "<b>"), with_more_tokens(tiny(), "<b>", "<a>")
    n_token = len(tiny_tokenizer())
    difference = f"id {n_token} is '<a>' for the teacher and '<b>' for the student"
    assert tokenizers_agree(teacher, student).difference == difference
    shared = shared_tokens(teacher, student)
    assert shared.matched is not None
    assert shared.student.tolist() == list(range(n_token + 2))
    assert shared.teacher.tolist() == [*range(n_token), n_token + 1, n_token]


def test_tokens_that_end_an_answer_are_the_same_token():
    teacher, student = with_more_tokens(tiny(), "<a>", "<b>"), with_more_tokens(tiny(), "<b>", "<a>")
    n_token = len(tiny_tokenizer())
    shared = shared_tokens(teacher, student, ends=(n_token, n_token))
    assert dict(zip(shared.student.tolist(), shared.teacher.tolist(), strict=True))[n_token] == n_token


def test_the_same_vocabulary_split_otherwise_is_another_tokenizer():
    student = tiny()
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    agreement = tokenizers_agree(tiny(), replace(student, tokenizer=tokenizer))
    assert not agreement.agree
    assert agreement.n_shared == len(tiny_tokenizer())


@pytest.mark.parametrize("groups", list(combinations(GROUPS, 2)), ids="-".join)
def test_one_vocabulary_whose_digits_are_cut_otherwise_is_another_tokenizer(groups):
    teacher, student = map(counting, groups)
    assert agreement(teacher, student, len(teacher), len(student)).difference == "the same text is split differently"
    assert agreement(teacher, teacher, len(teacher), len(teacher)).agree


REWRITING = [
    None,
    normalizers.NFC(),
    normalizers.NFD(),
    normalizers.NFKC(),
    normalizers.NFKD(),
    normalizers.Lowercase(),
    normalizers.StripAccents(),
    normalizers.Strip(left=True, right=False),
    normalizers.Replace("\r\n", "\n"),
    normalizers.Replace("\u00a0", " "),
]


@pytest.mark.parametrize("pair", list(combinations(range(len(REWRITING)), 2)), ids=str)
def test_one_vocabulary_whose_text_is_rewritten_otherwise_is_another_tokenizer(pair):
    teacher, student = (counting(normalizer=REWRITING[i]) for i in pair)
    assert not agreement(teacher, student, len(teacher), len(student)).agree
