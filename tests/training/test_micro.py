"""The parts of a batch: the same rows in every case, no more padding than asked for, no more rows than asked for."""

import itertools
import random

import pytest

from semalign.data import Example, padding_share
from semalign.training import TrainingOptions
from semalign.training.micro import micro_batches


def rows(n=40, longest=60, seed=0):
    lengths = [random.Random(seed + i).randint(5, longest) for i in range(n)]
    return [Example(f"row{i}", "sums", list(range(1, n + 1)), 2, 3, False) for i, n in enumerate(lengths)]


def cut(given, **options):
    return micro_batches(given, TrainingOptions(batch_size=64, **options), 0)


@pytest.mark.parametrize("size", [None, 3, 7])
@pytest.mark.parametrize("most", [None, 0.02, 0.1, 0.3])
def test_every_row_is_in_one_part_and_parts_are_as_small_as_asked_for(size, most):
    parts = cut(rows(), micro_batch_size=size, max_padding=most)
    assert sorted(name for part in parts for name in part.ids) == sorted(row.id for row in rows())
    assert max(len(part.ids) for part in parts) <= (size or 40)
    lengths = [part.input_ids.shape[1] for part in parts]
    assert lengths == sorted(lengths)
    if most is not None:
        assert all(padding_share([part]) <= most for part in parts)


def test_no_part_could_take_in_the_next_shorter_row():
    parts = cut(rows(), max_padding=0.1)
    for shorter, part in itertools.pairwise(parts):
        next_shorter = shorter.input_ids.shape[1]
        assert part.n_tokens + next_shorter < 0.9 * part.input_ids.shape[1] * (len(part.ids) + 1)


def test_rows_of_one_length_stay_together_and_much_padding_allowed_is_one_batch():
    assert len(cut([Example(f"r{i}", "sums", [1] * 9, 2, 3, False) for i in range(12)], max_padding=0.01)) == 1
    assert len(cut(rows(), max_padding=0.9)) == 1


def test_without_either_option_all_rows_are_one_batch_by_length():
    (batch,) = cut(rows())
    lengths = batch.attention_mask.sum(1).tolist()
    assert lengths == sorted(lengths)
    assert padding_share([batch]) > 0.3
