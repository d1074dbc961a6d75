"""Tokens that a model reads: padding left out, whole and partial passes, generations with a cache."""

import pytest
import torch
from tiny import tiny

from semalign.models import Point, reading, states_of

IDS = torch.arange(3, 17).reshape(2, 7)
MASK = torch.tensor([[1] * 7, [0] * 3 + [1] * 4])


def test_padding_is_not_counted_and_passes_add_up():
    model = tiny(n_layer=3)
    with reading(model) as read:
        assert read() == 0
        model.module(input_ids=IDS, attention_mask=MASK)
        assert read() == 11
        model.module(IDS)
        assert read() == 25


def test_a_pass_that_ends_early_reads_all_the_same():
    model = tiny(n_layer=3)
    with reading(model) as read:
        states_of(model, [Point("block_out", 0)], IDS, MASK)
    assert read() == 11


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_generation_reads_its_prompt_once_and_each_new_token_but_the_last(family):
    model = tiny(family)
    with reading(model) as read:
        made = model.module.generate(
            input_ids=IDS, attention_mask=MASK, max_new_tokens=5, min_new_tokens=5, do_sample=False, pad_token_id=0
        )
    assert made.shape[1] == 12
    assert read() == 11 + 2 * 4


def test_nothing_is_counted_behind_the_block_and_no_hook_stays():
    model = tiny()
    with pytest.raises(ZeroDivisionError), reading(model) as read:
        raise ZeroDivisionError
    model.module(IDS)
    assert read() == 0
    assert not model.module.base_model._forward_pre_hooks
