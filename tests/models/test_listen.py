"""What is heard at a site is what the model adds to its residual stream."""

import pytest
import torch
from tiny import FAMILIES, tiny, tokens

from semalign.errors import UserError
from semalign.models import FINAL, Point, listen, silence


def n_hook(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.module.modules())


def all_points(model):
    sites = ("attn_out", "mlp_out", "block_delta", "block_out")
    return [Point(site, layer) for site in sites for layer in range(model.n_layer)] + [FINAL]


@pytest.fixture(params=FAMILIES)
def model(request):
    return tiny(request.param)


def test_contributions_sum_to_the_block_delta(model):
    with listen(model, all_points(model)) as heard:
        model.module(tokens(2, 7))
    for layer in range(model.n_layer):
        whole = heard[Point("block_delta", layer)]
        parts = heard[Point("attn_out", layer)] + heard[Point("mlp_out", layer)]
        assert whole.shape == (2, 7, model.width)
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("family", ["phi3", "gpt2", "gpt_neox"])
def test_contributions_are_heard_after_dropout(family):
    model = tiny(family)
    model.module.train()
    with listen(model, all_points(model)) as heard:
        model.module(tokens(2, 7))
    parts = heard[Point("attn_out", 1)] + heard[Point("mlp_out", 1)]
    torch.testing.assert_close(parts, heard[Point("block_delta", 1)], rtol=0, atol=1e-10)
    assert (heard[Point("mlp_out", 1)] == 0).any()


def test_listening_changes_nothing(model):
    before = model.module(tokens(2, 7)).logits
    with listen(model, all_points(model)):
        assert torch.equal(model.module(tokens(2, 7)).logits, before)


def test_a_contribution_has_the_gradient_of_the_state_it_is_added_to(model):
    points = [Point(site, 1) for site in ("mlp_out", "block_delta", "block_out")]
    with listen(model, points) as heard:
        loss = model.module(tokens(2, 7)).logits.logsumexp(-1).sum()
    mlp, delta, state = torch.autograd.grad(loss, [heard[point] for point in points])
    torch.testing.assert_close(mlp, state, rtol=0, atol=1e-10)
    torch.testing.assert_close(delta, state, rtol=0, atol=1e-10)


def test_states_are_the_models_own(model):
    with listen(model, all_points(model)) as heard:
        output = model.module(tokens(2, 7), output_hidden_states=True)
    for layer in range(model.n_layer - 1):
        assert torch.equal(heard[Point("block_out", layer)], output.hidden_states[layer + 1])
    assert torch.equal(heard[FINAL], output.hidden_states[-1])
    torch.testing.assert_close(model.logits(heard[FINAL]), output.logits, rtol=0, atol=1e-10)
    last = heard[Point("block_out", model.n_layer - 1)]
    torch.testing.assert_close(model.read(last), output.logits, rtol=0, atol=1e-10)


def test_gradients_flow_through_what_is_heard(model):
    points = [Point("attn_out", 0), Point("mlp_out", 1), Point("block_out", 1), FINAL]
    with listen(model, points) as heard:
        loss = model.module(tokens(2, 7)).logits.logsumexp(-1).sum()
    for gradient in torch.autograd.grad(loss, [heard[point] for point in points]):
        assert gradient.abs().sum() > 0


def test_no_hook_stays_behind(model):
    before = n_hook(model)
    with listen(model, all_points(model)), silence(model, [Point("mlp_out", 0)]):
        assert n_hook(model) > before
    with pytest.raises(ZeroDivisionError), listen(model, all_points(model)):
        raise ZeroDivisionError
    with pytest.raises(UserError), listen(model, [Point("block_out", 0), Point("block_out", 99)]):
        pass
    assert n_hook(model) == before


def test_silencing_removes_exactly_the_contribution(model):
    points = all_points(model)
    with silence(model, [Point("mlp_out", 1)]), listen(model, points) as heard:
        model.module(tokens(2, 7))
    attention = heard[Point("attn_out", 1)]
    torch.testing.assert_close(heard[Point("block_delta", 1)], attention, rtol=0, atol=1e-10)
    with silence(model, [Point("block_delta", 1)]), listen(model, points) as heard:
        model.module(tokens(2, 7))
    assert torch.equal(heard[Point("block_out", 1)], heard[Point("block_out", 0)])


@pytest.mark.parametrize("layer", [-1, 3])
def test_layers_that_do_not_exist_are_refused(layer):
    with pytest.raises(UserError, match=r"layers are 0 to 2"), listen(tiny(), [Point("mlp_out", layer)]):
        pass


def test_sites_that_do_not_exist_are_refused():
    with pytest.raises(UserError, match="Did you mean 'mlp_out'"), listen(tiny(), [Point("mlp_uot", 0)]):
        pass


def test_states_cannot_be_silenced():
    with pytest.raises(UserError, match="not a contribution"), silence(tiny(), [FINAL]):
        pass
