"""Batches: the mask is the answer, padding changes nothing, the seed decides the order."""

import pytest
import torch

from semalign.data import Batch, Example, batches, collate, padding_share

PAD = 99


def example(i: int, n_prompt: int, n_answer: int) -> Example:
    return Example(f"e{i}", "t", [10 * i + k for k in range(n_prompt + n_answer)], n_prompt, 7, False)


EXAMPLES = [example(i, 1 + i % 3, 1 + (5 * i) % 7) for i in range(13)]


def supervised(batch: Batch, i: int) -> list[int]:
    return batch.targets[i][batch.mask[i]].tolist()


def test_the_mask_marks_the_positions_before_answer_tokens():
    batch = collate([example(1, 2, 3), example(2, 1, 1)], PAD)
    assert batch.mask.tolist() == [[False, True, True, True, False], [True, False, False, False, False]]
    assert supervised(batch, 0) == [12, 13, 14]
    assert supervised(batch, 1) == [21]
    assert batch.input_ids[1].tolist() == [20, 21, PAD, PAD, PAD]
    assert batch.attention_mask.sum(dim=1).tolist() == [5, 2]
    assert (batch.n_tokens, batch.n_supervised) == (7, 4)


def test_targets_are_the_next_tokens():
    batch = collate(EXAMPLES, PAD)
    real = batch.attention_mask[:, 1:].bool()
    assert torch.equal(batch.targets[:, :-1][real], batch.input_ids[:, 1:][real])


def test_padding_changes_nothing():
    alone, among = collate(EXAMPLES[:1], PAD), collate(EXAMPLES, PAD)
    width = alone.input_ids.shape[1]
    for name in ("input_ids", "attention_mask", "mask"):
        assert torch.equal(getattr(among, name)[0, :width], getattr(alone, name)[0])
        assert not getattr(among, name)[0, width:].ne(PAD if name == "input_ids" else 0).any()
    assert supervised(among, 0) == supervised(alone, 0)


@pytest.mark.parametrize("window", [1, 2, 10])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_every_row_comes_once(seed, window):
    given = list(batches(EXAMPLES, 4, PAD, shuffle_seed=seed, window=window))
    assert sorted(i for batch in given for i in batch.ids) == sorted(e.id for e in EXAMPLES)
    assert max(len(batch.ids) for batch in given) == 4


def test_the_seed_alone_decides_the_order():
    def order(seed):
        return [batch.ids for batch in batches(EXAMPLES, 4, PAD, shuffle_seed=seed)]

    assert order(None) == [[e.id for e in EXAMPLES[i : i + 4]] for i in range(0, 13, 4)]
    assert order(3) == order(3)
    assert len({str(order(seed)) for seed in (None, 0, 1, 2)}) == 4


def test_windows_save_padding():
    lengths = [example(i, 1, 1 + (37 * i) % 40) for i in range(40)]
    apart = padding_share(batches(lengths, 4, PAD, shuffle_seed=0))
    sorted_ = padding_share(batches(lengths, 4, PAD, shuffle_seed=0, window=10))
    assert 0 < sorted_ < apart / 3


def test_a_batch_moves_whole():
    moved = collate(EXAMPLES, PAD).to("meta")
    assert {t.device.type for t in (moved.input_ids, moved.attention_mask, moved.targets, moved.mask)} == {"meta"}
    assert moved.ids == [e.id for e in EXAMPLES]
