import random

import pytest

from semalign.evaluation.sharing import by_length, carriers


def test_every_input_is_begun_by_its_carrier_and_no_carrier_begins_another():
    generator = random.Random(3)
    inputs = [tuple(generator.choices((1, 2), k=generator.randint(1, 6))) for _ in range(50)]
    kept, home = carriers(inputs)
    assert all(kept[place][: len(tokens)] == tokens for tokens, place in zip(inputs, home, strict=True))
    assert not any(a != b and b[: len(a)] == a for a in kept for b in kept)
    assert len(set(kept)) == len(kept)


def test_one_token_choices_after_one_prompt_are_one_sequence():
    assert carriers([(5, 6, 7)] * 4 + [(5, 6)])[0] == [(5, 6, 7)]


@pytest.mark.parametrize(("rows", "scores"), [(3, 1000), (50, 20), (1, 1)])
def test_batches_keep_to_rows_and_scores_and_take_every_index_once(rows, scores):
    generator = random.Random(5)
    sizes = [generator.randint(2, 15) for _ in range(23)]
    starts = [generator.randrange(size) for size in sizes]
    batches = list(by_length(sizes, starts, rows=rows, scores=scores))
    assert sorted(index for batch in batches for index in batch) == list(range(23))
    for batch in batches:
        span = max(sizes[i] for i in batch) - min(starts[i] for i in batch)
        assert len(batch) == 1 or (len(batch) <= rows and len(batch) * span <= scores)
    lengths = [sizes[index] for batch in batches for index in batch]
    assert lengths == sorted(lengths, reverse=True)
