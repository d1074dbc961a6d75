"""Rows in the tokens of two tokenizers: which of the teacher's states stands where."""

from dataclasses import replace

import pytest
import torch

from semalign.data import Example, collate
from semalign.data.tokens import TeacherExample

STUDENT = [Example("a", "t", [5, 6, 7, 8, 9], 2, 3, False), Example("b", "t", [4, 3, 2], 1, 2, False)]
TEACHER = [Example("a", "t", [1, 2, 3, 4, 5, 6, 7], 2, 3, False), Example("b", "t", [3, 1], 1, 2, False)]
LAST = [[-1, 1, -1, 4, 6], [0, -1, 1]]
FIRST = {"last": LAST, "mean": [[-1, 1, -1, 2, 5], [0, -1, 1]]}


def batch_of(spans):
    rows = [
        replace(row, teacher=TeacherExample(teacher, first, last))
        for row, teacher, first, last in zip(STUDENT, TEACHER, FIRST[spans], LAST, strict=True)
    ]
    return collate(rows, pad_id=0)


def test_the_teacher_reads_its_own_tokens():
    batch = batch_of("last")
    assert batch.of_teacher.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7], [3, 1, 0, 0, 0, 0, 0]]
    assert batch.of_teacher.mask.sum().item() == 6
    assert batch.input_ids.tolist() == [[5, 6, 7, 8, 9], [4, 3, 2, 0, 0]]


def test_followed_are_the_answer_positions_with_a_teacher_position():
    batch = batch_of("last")
    assert batch.aligned.tolist() == [[False, True, False, True, True], [True, False, True, False, False]]
    assert batch.followed.tolist() == [[False, True, False, True, False], [True, False, False, False, False]]


def test_the_last_state_of_a_span_stands_for_it():
    batch = batch_of("last")
    states = torch.randn(2, 7, 3)
    at = batch.at_student(states)
    for i, positions in enumerate(LAST):
        for j, position in enumerate(positions):
            if position >= 0:
                assert torch.equal(at[i, j], states[i, position])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_mean_of_a_span_stands_for_it(dtype):
    batch = batch_of("mean")
    states = torch.randn(2, 7, 3, dtype=dtype)
    at = batch.at_student(states)
    spans = {(0, 1): [1], (0, 3): [2, 3, 4], (0, 4): [5, 6], (1, 0): [0], (1, 2): [1]}
    for (i, j), positions in spans.items():
        assert torch.allclose(at[i, j], states[i, positions].mean(0))


def test_one_tokenizer_gives_the_states_back_as_they_are():
    batch = collate(STUDENT, pad_id=0)
    states = torch.randn(2, 5, 3)
    assert batch.at_student(states) is states
    assert batch.of_teacher is batch
    assert torch.equal(batch.followed, batch.mask)


def test_both_sides_move_together():
    moved = batch_of("last").to("meta")
    assert moved.of_teacher.input_ids.device.type == "meta"
    assert moved.aligned.device.type == "meta"


def test_the_key_of_a_row_knows_the_teachers_tokens():
    row, other = (replace(STUDENT[0], teacher=TeacherExample(TEACHER[0], p, p)) for p in ([0], [1]))
    assert len({STUDENT[0].content_key, row.content_key, other.content_key}) == 3
