"""Layer integrated gradients: completeness, Captum, and what the baselines are."""

import dataclasses
from functools import partial

import pytest
import torch
from answer_rows import ROWS, batch_of, example_losses
from captum.attr import LayerIntegratedGradients
from tiny import tiny
from torch.nn.functional import cross_entropy

from semalign.attribution.gradient_x_activation import GradientXActivation
from semalign.attribution.integrated_gradients import IntegratedGradients
from semalign.attribution.occlusion import Occlusion
from semalign.models import Point, silence

BATCH = batch_of(*ROWS)
FAMILIES = ["llama", "qwen2", "gpt2", "opt", "granite"]  # with and without biases; flattened MLPs; scaled sub-layers


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return tiny(request.param, n_layer=3, width=16)


def products(model, **options):
    with torch.enable_grad():
        return list(IntegratedGradients(**options).products(model, BATCH))


def sums(model, **options):
    return torch.stack([product.sum((1, 2)) for product in products(model, **options)])


@torch.no_grad()
def loss_without(model, point):
    with silence(model, [point]):
        return example_losses(model.module, BATCH)


@pytest.mark.parametrize("site", ["mlp_out", "attn_out", "block_delta"])
def test_products_sum_to_what_the_loss_owes_to_the_layer(model, site):
    whole = example_losses(model.module, BATCH).detach()
    owed = torch.stack([whole - loss_without(model, Point(site, layer)) for layer in range(3)])
    assert owed.abs().min() > 1e-4
    # the kinks of OPT's ReLU slow the quadrature down; the others' norms work in float32
    share = 2e-2 if model.module.config.model_type == "opt" else 5e-5
    torch.testing.assert_close(sums(model, site=site), owed, rtol=0, atol=share * float(owed.abs().max()))


def test_from_the_embeddings_the_states_after_blocks_sum_to_the_whole_change():
    # gpt2: the position is added to an embedding of 0, so that no norm sees a 0
    model = tiny("gpt2", n_layer=3, width=16)
    embeddings = torch.zeros_like(model.module.get_input_embeddings()(BATCH.input_ids))
    change = (example_losses(model.module, BATCH) - losses_of(model, embeddings)).detach()
    found = sums(model, site="block_out", baseline="embeddings", steps=32)
    torch.testing.assert_close(found, change.expand(3, -1), rtol=1e-4, atol=1e-6)


def losses_of(model, embeddings, attention_mask=BATCH.attention_mask, targets=BATCH.targets, mask=BATCH.mask):
    logits = model.module(inputs_embeds=embeddings, attention_mask=attention_mask).logits
    losses = cross_entropy(logits.transpose(1, 2), targets, reduction="none") * mask
    return losses.sum(1) / mask.sum(1)


@pytest.mark.parametrize("steps", [1, 5, 16])
def test_integrated_gradients_are_captums(model, steps):
    embeddings = model.module.get_input_embeddings()(BATCH.input_ids).detach()
    mlps = [block.get_submodule(model.family.mlp_site) for block in model.blocks]
    found = products(model, baseline="embeddings", steps=steps)
    for mlp, product in zip(mlps, found, strict=True):
        expected = LayerIntegratedGradients(partial(losses_of, model), mlp).attribute(
            embeddings,
            baselines=torch.zeros_like(embeddings),
            additional_forward_args=(BATCH.attention_mask, BATCH.targets, BATCH.mask),
            n_steps=steps,
            method="gausslegendre",
        )
        assert expected.abs().max() > 1e-4
        # Captum runs all points as one batch, and norms work in float32
        torch.testing.assert_close(product, expected.view(product.shape).detach(), rtol=0, atol=1e-8)


def test_baselines_are_one_where_nothing_comes_of_zero_embeddings_and_two_elsewhere():
    llama, qwen2 = tiny("llama", n_layer=3, width=16), tiny("qwen2", n_layer=3, width=16)
    for model, same in ((llama, True), (qwen2, False)):
        zero, embeddings = (products(model, baseline=baseline, steps=2)[1] for baseline in ("zero", "embeddings"))
        assert torch.allclose(zero, embeddings, rtol=0, atol=1e-12) == same


def test_far_from_any_curve_it_is_gradient_x_activation():
    # a contribution so small that the loss is straight along it
    model = tiny("llama", n_layer=3, width=16)
    with torch.no_grad():
        model.blocks[1].mlp.down_proj.weight.mul_(1e-6)
    integrated, product = (
        cls(aggregation="signed").score(model, [BATCH]) for cls in (IntegratedGradients, GradientXActivation)
    )
    torch.testing.assert_close(integrated[1], product[1], rtol=1e-3, atol=0)
    assert (integrated - product).abs()[[0, 2]].min() > 1e-3


def test_where_all_tokens_are_answers_the_signed_score_is_the_occlusion_of_the_layer():
    batch = dataclasses.replace(BATCH, mask=BATCH.attention_mask.bool())
    model = tiny("llama", n_layer=3, width=16)
    scores = IntegratedGradients(site="block_delta", aggregation="signed").score(model, [batch])
    expected = Occlusion().score(model, [batch])
    assert expected.abs().min() > 1e-4
    torch.testing.assert_close(scores, expected, rtol=0, atol=5e-5 * float(expected.abs().max()))
