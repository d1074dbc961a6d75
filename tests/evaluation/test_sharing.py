import random
from itertools import pairwise

import pytest

from semalign.evaluation.sharing import by_length, carriers, prefix_groups


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


def saved(sequences, groups, cost) -> int:
    """Tokens that need not be read, less the cost of the groups."""
    return sum((len(members) - 1) * n_prefix - cost for n_prefix, members in groups if n_prefix)


def best_saved(sequences, most, cost) -> int:
    """The most that groups of all the sequences with one beginning save."""
    if len(sequences) < 2:
        return 0
    n_common = [
        min(next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(b)), *limits)
        for a, b, limits in zip(sequences, sequences[1:], pairwise(most), strict=False)
    ]
    least, parts, start = min(n_common), 0, 0
    for end in [*(i + 1 for i, n in enumerate(n_common) if n == least), len(sequences)]:
        parts += best_saved(sequences[start:end], most[start:end], cost)
        start = end
    return max(parts, (len(sequences) - 1) * least - cost)


@pytest.mark.parametrize("cost", [0, 2, 9, 40])
def test_groups_share_what_they_say_and_no_other_beginnings_save_more(cost):
    generator = random.Random(cost)
    for _ in range(60):
        some = {tuple(generator.choices((1, 2), k=generator.randint(2, 9))) for _ in range(generator.randint(1, 14))}
        sequences = sorted(some, reverse=True)
        most = [generator.randrange(len(sequence)) for sequence in sequences]
        groups = prefix_groups(sequences, most, cost=cost)
        assert sorted(index for group in groups for index in group.members) == list(range(len(sequences)))
        for n_prefix, members in groups:
            assert len({sequences[index][:n_prefix] for index in members}) == 1
            assert all(n_prefix <= most[index] for index in members) or not n_prefix
        assert saved(sequences, groups, cost) == best_saved(sequences, most, cost)


def test_nothing_to_share_is_one_group():
    assert prefix_groups([(3, 1), (2, 1)], [1, 1], cost=0) == [(0, [0, 1])]
    assert prefix_groups([], [], cost=0) == []
