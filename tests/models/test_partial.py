"""A model run in part: the same states, and blocks that need not run do not."""

import pytest
import torch
from tiny import FAMILIES, tiny

from semalign.models import FINAL, Point, listen, states_of

each_family = pytest.mark.parametrize("family", FAMILIES)


def rows(n_row=3, n_pos=7):
    torch.manual_seed(0)
    ids = torch.randint(3, 200, (n_row, n_pos))
    attention = torch.ones_like(ids)
    attention[1, 5:] = 0
    return ids, attention


def whole(model, points, ids, attention):
    with listen(model, points) as states, torch.no_grad():
        model.module.base_model(input_ids=ids, attention_mask=attention, use_cache=False)
    return states


def counting(model):
    """A list that gets the number of every block that runs."""
    ran: list[int] = []
    for i, block in enumerate(model.blocks):
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
    return ran


@each_family
def test_states_of_a_part_are_those_of_the_whole(family):
    model, (ids, attention) = tiny(family), rows()
    points = [Point("block_out", 0), Point("mlp_out", 1), Point("block_delta", 1)]
    expected = whole(model, points, ids, attention)
    ran = counting(model)
    with torch.no_grad():
        found = states_of(model, points, ids, attention)
    assert ran == [0, 1]
    assert model.n_layer > 2
    for point in points:
        assert torch.equal(found[point], expected[point])


@each_family
def test_a_model_goes_on_from_the_states_that_enter_a_block(family):
    model, (ids, attention) = tiny(family), rows()
    points = [Point("block_out", 1), Point("block_delta", model.n_layer - 1), FINAL]
    expected = whole(model, [*points, Point("block_out", 0)], ids, attention)
    ran = counting(model)
    with torch.no_grad():
        found = states_of(model, points, ids, attention, first=1, entry=expected[Point("block_out", 0)])
    assert ran == list(range(1, model.n_layer))
    for point in points:
        assert torch.equal(found[point], expected[point])


def test_the_same_blocks_are_back_also_after_an_exception():
    model, (ids, attention) = tiny(), rows()
    before, expected = model.blocks, whole(model, [FINAL], ids, attention)[FINAL]
    too_narrow = torch.zeros(*ids.shape, model.width - 1, dtype=torch.float64)
    with pytest.raises(RuntimeError):
        states_of(model, [Point("block_out", 1)], ids, attention, first=1, entry=too_narrow)
    assert all(a is b for a, b in zip(model.blocks, before, strict=True))
    assert not any(block._forward_pre_hooks for block in model.blocks)
    assert torch.equal(whole(model, [FINAL], ids, attention)[FINAL], expected)


def test_gradients_reach_the_entry():
    model, (ids, attention) = tiny(), rows()
    entry = torch.randn(*ids.shape, model.width, dtype=torch.float64, requires_grad=True)
    states_of(model, [FINAL], ids, attention, first=1, entry=entry)[FINAL].sum().backward()
    assert entry.grad is not None
    assert entry.grad.abs().sum() > 0


def test_blocks_of_somebody_elses_code_run_and_change_nothing():
    model, (ids, attention) = tiny(), rows()
    expected = whole(model, [Point("block_out", 1), Point("block_out", 0), FINAL], ids, attention)
    for block in model.blocks:
        block.__class__ = type("Custom", (type(block),), {"__module__": "modeling_custom"})
    ran = counting(model)
    with torch.no_grad():
        found = states_of(model, [Point("block_out", 1)], ids, attention)
        again = states_of(model, [FINAL], ids, attention, first=1, entry=expected[Point("block_out", 0)])
    assert ran == 2 * list(range(model.n_layer))
    assert torch.equal(found[Point("block_out", 1)], expected[Point("block_out", 1)])
    assert torch.equal(again[FINAL], expected[FINAL])
