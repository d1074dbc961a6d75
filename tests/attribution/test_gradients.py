"""Gradient x Activation against Captum; scores of units and how they are folded into scores of layers."""

import copy
import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from answer_rows import ROWS, batch_of, example_losses, examples
from captum.attr import LayerGradientXActivation
from tiny import tiny
from torch.autograd.graph import saved_tensors_hooks

from semalign.attribution.gradient_x_activation import GradientXActivation
from semalign.attribution.integrated_gradients import IntegratedGradients
from semalign.errors import UserError
from semalign.strategy import build

N_LAYER, WIDTH = 4, 16


@pytest.fixture(scope="module")
def model():
    return tiny("llama", n_layer=N_LAYER, width=WIDTH, rms_norm_eps=1e-13)


@pytest.fixture(scope="module")
def captum_products(model):
    """Gradient x activation of each layer's MLP by Captum, outside the answer set to zero."""
    batch = batch_of(*ROWS)

    def losses(input_ids, attention_mask):
        return example_losses(
            model.module, dataclasses.replace(batch, input_ids=input_ids, attention_mask=attention_mask)
        )

    products = []
    for block in model.blocks:
        method = LayerGradientXActivation(losses, block.mlp)
        product = method.attribute(batch.input_ids, additional_forward_args=(batch.attention_mask,))
        products.append((product * batch.mask.unsqueeze(-1)).detach())
    return products


AGGREGATIONS = {
    "absolute": lambda product: product.abs().sum((1, 2)),
    "signed": lambda product: -product.sum((1, 2)),
    "l2": lambda product: product.flatten(1).norm(dim=1),
}


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_gradient_x_activation_is_captums(model, captum_products, aggregation):
    scores = GradientXActivation(aggregation=aggregation).score(model, [batch_of(*ROWS)])
    expected = torch.stack([AGGREGATIONS[aggregation](product).mean() for product in captum_products])
    assert expected.abs().min() > 1e-6  # there is something to compare
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-10)


def test_only_answer_tokens_count(model):
    # the gradient also reaches the prompt's states, which the score leaves out
    rows = examples((9, 4), (9, 8))
    scores = [GradientXActivation().score(model, [batch_of(row)]) for row in rows]
    both = GradientXActivation().score(model, [batch_of(*rows)])
    torch.testing.assert_close(both, (scores[0] + scores[1]) / 2, rtol=1e-9, atol=1e-12)
    batch = batch_of(rows[0])
    leaky = dataclasses.replace(batch, mask=batch.attention_mask.bool())
    assert (GradientXActivation().score(model, [leaky]) - scores[0]).abs().min() > 1e-3


def test_the_signed_sum_is_zero_at_the_last_state(model):
    # the final RMS norm takes the scale away, so the loss does not change along the state itself
    batches = [batch_of(*ROWS)]
    signed = GradientXActivation(site="block_out", aggregation="signed").score(model, batches)
    absolute = GradientXActivation(site="block_out").score(model, batches)
    assert signed[-1].abs() < 1e-6 * absolute[-1]  # the norm works in float32
    assert (signed[:-1].abs() > 1e-3 * absolute[:-1]).all()


@pytest.mark.parametrize("site", ["attn_out", "mlp_out", "block_delta", "block_out"])
def test_every_site_is_scored(model, site):
    scores = GradientXActivation(site=site).score(model, [batch_of(*ROWS)])
    assert (scores > 0).all()
    assert len(set(scores.tolist())) == 4


def test_norms_order_the_aggregations(model):
    absolute, signed, l2 = (
        GradientXActivation(aggregation=a).score(model, [batch_of(*ROWS)]) for a in ("absolute", "signed", "l2")
    )
    assert (signed.abs() <= absolute).all()
    assert (l2 < absolute).all()


# units

GRADIENTS = {"gradient_x_activation": GradientXActivation(), "integrated_gradients": IntegratedGradients(steps=3)}


@pytest.fixture(params=GRADIENTS.values(), ids=GRADIENTS)
def attribution(request):
    return request.param


UNITS = {
    "absolute": lambda product: product.abs().sum(1),
    "signed": lambda product: -product.sum(1),
    "l2": lambda product: product.norm(dim=1),
}


@pytest.mark.parametrize("aggregation", UNITS)
def test_unit_scores_are_captums(model, captum_products, aggregation):
    scores = GradientXActivation(aggregation=aggregation).unit_scores(model, [batch_of(*ROWS[:2]), batch_of(ROWS[2])])
    expected = torch.stack([UNITS[aggregation](product).mean(0) for product in captum_products])
    assert scores.shape == (N_LAYER, WIDTH)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("aggregation", ["absolute", "signed"])
def test_unit_scores_sum_to_the_layers_score(attribution, model, aggregation):
    attribution = attribution.replace(aggregation=aggregation)
    units = attribution.unit_scores(model, [batch_of(*ROWS)])
    torch.testing.assert_close(units.sum(-1), attribution.score(model, [batch_of(*ROWS)]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("unit", [0, 7, 15])
def test_the_only_unit_that_speaks_has_all_the_score(attribution, unit):
    model = tiny("llama", n_layer=N_LAYER, width=WIDTH)
    with torch.no_grad():
        weight = model.blocks[2].mlp.down_proj.weight
        kept = weight[unit].clone()
        weight.zero_()
        weight[unit] = kept
    units = attribution.unit_scores(model, [batch_of(*ROWS)])[2]
    assert units[unit] > 0
    assert units.count_nonzero() == 1


@pytest.mark.parametrize("aggregation", UNITS)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_the_top_share_counts_the_units_with_the_highest_scores(model, aggregation, share):
    attribution = GradientXActivation(aggregation=aggregation)
    count = math.ceil(share * WIDTH)
    units = attribution.unit_scores(model, [batch_of(*ROWS)])
    rows = torch.stack([attribution.unit_scores(model, [batch_of(row)]) for row in ROWS])
    expected = []
    for layer in range(N_LAYER):
        top = sorted(range(WIDTH), key=lambda unit: -abs(units[layer, unit]))[:count]
        chosen = rows[:, layer, top]
        expected.append(chosen.norm(dim=1).mean() if aggregation == "l2" else chosen.sum(1).mean())
    scores = attribution.replace(top_share=share).score(model, [batch_of(*ROWS)])
    torch.testing.assert_close(scores, torch.stack(expected), rtol=1e-9, atol=1e-12)


def test_a_larger_share_is_a_larger_score(attribution, model):
    batches = [batch_of(*ROWS)]
    shares = [attribution.replace(top_share=share).score(model, batches) for share in (0.05, 0.5, 0.9)]
    shares.append(attribution.score(model, batches))
    assert all((less < more).all() for less, more in pairwise(shares))


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1])
def test_a_share_without_effect_or_meaning_is_refused(share):
    with pytest.raises(UserError, match="top_share"):
        build("attribution", {"name": "gradient_x_activation", "top_share": share})


def test_the_final_state_belongs_to_no_layer():
    with pytest.raises(UserError, match="belongs to no layer"):
        IntegratedGradients(site="final")


# weights


def test_nothing_is_kept_for_gradients_of_weights(attribution, model):
    trainable = dataclasses.replace(model, module=copy.deepcopy(model.module).requires_grad_(True))
    frozen = dataclasses.replace(model, module=copy.deepcopy(model.module).requires_grad_(False))
    assert _bytes_kept(attribution, trainable) == _bytes_kept(attribution, frozen) > 0


def _bytes_kept(attribution, model):
    """Bytes that the graph holds on to for the backward passes, model weights not counted."""
    weights = {parameter.data_ptr() for parameter in model.module.parameters()}
    total = 0

    def pack(tensor):
        nonlocal total
        total += 0 if tensor.data_ptr() in weights else tensor.numel() * tensor.element_size()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        attribution.score(model, [batch_of(*ROWS)])
    return total


def test_a_half_frozen_model_is_given_back_as_it_was(attribution, model):
    mixed = dataclasses.replace(model, module=copy.deepcopy(model.module))
    for index, parameter in enumerate(mixed.module.parameters()):
        parameter.requires_grad_(index % 3 == 0)
    attribution.score(mixed, [batch_of(*ROWS)])
    assert [p.requires_grad for p in mixed.module.parameters()] == [
        index % 3 == 0 for index, _ in enumerate(mixed.module.parameters())
    ]


def test_weights_want_gradients_again_after_an_error(attribution, model):
    class Unlucky(type(attribution)):
        def products(self, model, batch):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        Unlucky().score(model, [batch_of(*ROWS)])
    assert all(parameter.requires_grad for parameter in model.module.parameters())
