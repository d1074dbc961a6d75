"""Two tokenizers agree where every shared id is the same token."""

import copy
from dataclasses import replace

import pytest
import torch
from tiny import tiny, tiny_tokenizer
from tokenizers import pre_tokenizers

from semalign.errors import UserError
from semalign.models import check_tokenizers, shared_tokens, tokenizers_agree


def with_more_tokens(model, *tokens):
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.add_tokens(list(tokens))
    return replace(model, tokenizer=tokenizer)


def test_one_tokenizer_agrees_with_itself_whatever_the_padding():
    teacher, student = tiny("llama", n_row=340), tiny("gpt2", n_row=331)
    agreement = check_tokenizers(teacher, student)
    n_token = len(tiny_tokenizer())
    assert (agreement.n_shared, agreement.n_teacher, agreement.n_student) == (n_token, n_token, n_token)
    assert torch.equal(shared_tokens(teacher, student).student, torch.arange(n_token))


def test_a_teacher_may_have_more_tokens():
    teacher, student = with_more_tokens(tiny(), "<extra>"), tiny()
    agreement = check_tokenizers(teacher, student)
    assert agreement.n_teacher == agreement.n_student + 1 == agreement.n_shared + 1


def test_tokens_beyond_the_rows_are_not_real():
    n_token = len(tiny_tokenizer())
    student = tiny(n_row=n_token - 4)
    assert student.n_token == n_token - 4
    assert torch.equal(shared_tokens(tiny(), student).student, torch.arange(n_token - 4))


def test_another_token_at_one_id_is_refused_and_not_shared():
    teacher, student = with_more_tokens(tiny(), "<a>", "<b>"), with_more_tokens(tiny(), "<b>", "<a>")
    n_token = len(tiny_tokenizer())
    assert torch.equal(shared_tokens(teacher, student).student, torch.arange(n_token))
    with pytest.raises(UserError, match=rf"id {n_token} is '<a>' for the teacher and '<b>' for the student"):
        check_tokenizers(teacher, student)


def test_the_same_vocabulary_split_otherwise_is_refused():
    student = tiny()
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    agreement = tokenizers_agree(tiny(), replace(student, tokenizer=tokenizer))
    assert not agreement.agree
    assert agreement.n_shared == len(tiny_tokenizer())
