"""Blocks that run again in the backward pass: the same states and gradients, less kept, and nothing left behind."""

import pytest
import torch
from tiny import FAMILIES, tiny, tokens

from semalign.models import FINAL, Point, lora, recomputing, states_of

SITES = ("attn_out", "mlp_out", "block_delta", "block_out")


def graph(model, points, **options):
    """States at points, and a scalar that depends on all of them."""
    ids = tokens(2, 7)
    states = states_of(model, points, ids, torch.ones_like(ids), **options)
    return states, torch.stack([state.square().sum() for state in states.values()]).sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_states_and_gradients_at_every_site_are_the_same_in_every_family(family):
    model = tiny(family)
    adapter = lora(model, [0, 2], rank=3, dropout=0.0, roles=("v", "o"))
    trained = [p for p in adapter.parameters() if p.requires_grad]
    points = [*(Point(site, layer) for site in SITES for layer in (0, 1)), FINAL]
    states, total = graph(model, points)
    expected = torch.autograd.grad(total, trained)
    with recomputing(model):
        again, total = graph(model, points)
        found = torch.autograd.grad(total, trained)
    for point in points:
        assert torch.equal(again[point], states[point])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_part_of_a_model_goes_on_from_its_entry():
    model = tiny()
    adapter = lora(model, [1], rank=3, dropout=0.0)
    trained = [p for p in adapter.parameters() if p.requires_grad]
    entry = torch.randn(2, 7, model.width, dtype=torch.float64)
    points = [Point("block_delta", 1), FINAL]
    expected = torch.autograd.grad(graph(model, points, first=1, entry=entry)[1], trained)
    with recomputing(model):
        found = torch.autograd.grad(graph(model, points, first=1, entry=entry)[1], trained)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_graph_holds_what_enters_each_block_and_nothing_inside():
    model = tiny(n_layer=6)
    lora(model, range(6), rank=3, dropout=0.0)
    whole = kept_bytes(model)
    with recomputing(model):
        kept = kept_bytes(model)
    state = 2 * 7 * model.width * 8
    assert 6 * state <= kept <= 12 * state  # beside the inputs: the last norm, positions, the mask
    assert kept < whole / 5


def kept_bytes(model):
    """Bytes that a graph saves for its backward pass, weights left out, each storage once."""
    weights = {p.untyped_storage().data_ptr() for p in model.module.parameters()}
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        states, _ = graph(model, [FINAL])
    assert states[FINAL].requires_grad
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in saved}
    return sum(size for place, size in storages.items() if place not in weights)


def test_a_block_runs_once_more_for_a_backward_pass_and_not_without_a_graph():
    model = tiny()
    lora(model, [1], rank=3)
    ran = []
    model.blocks[1].self_attn.register_forward_hook(lambda *_: ran.append(1))
    with recomputing(model):
        with torch.no_grad():
            graph(model, [FINAL])
        assert len(ran) == 1
        _, total = graph(model, [FINAL])
        assert len(ran) == 2
        total.backward()
    assert len(ran) == 3


def test_the_blocks_are_as_they_were_also_after_an_exception():
    model = tiny()
    with pytest.raises(IndexError), recomputing(model):
        model.module(torch.tensor([[10**6]]))
    assert not any("forward" in vars(block) for block in model.blocks)
