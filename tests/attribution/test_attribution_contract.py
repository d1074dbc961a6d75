"""What every attribution promises: a float64 score a layer, the layer that matters first, the model left as it was."""

import copy
import dataclasses

import pytest
import torch
from captum.attr import LayerGradientXActivation
from tiny import tiny, tokens
from torch.nn.functional import cross_entropy, pad

from semalign.attribution.gradient_x_activation import GradientXActivation
from semalign.attribution.occlusion import Occlusion
from semalign.data import Batch, Example, collate
from semalign.strategy import available

EVERY = list(available("attribution").values())
FINDERS = [cls for cls in EVERY if cls.finds_planted]


@pytest.fixture(scope="module")
def model():
    return tiny("llama", n_layer=4, width=16, rms_norm_eps=1e-13)


def examples(*sizes):
    """Rows of (tokens, of these prompt)."""
    rows = [tokens(length, seed=i).tolist() for i, (length, _) in enumerate(sizes)]
    return [Example(str(i), "t", row, n, 1, False) for i, (row, (_, n)) in enumerate(zip(rows, sizes, strict=True))]


ROWS = examples((9, 4), (5, 2), (7, 6))


def batch_of(*rows):
    return collate(rows, pad_id=0)


def state_of(model):
    """All that an attribution might disturb."""
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.module.modules()]
    parameters = list(model.module.parameters())
    return hooks, [p.requires_grad for p in parameters], [p.grad for p in parameters], model.module.training


def example_losses(module, batch):
    """Cross-entropy of each row's answer, a token at a time, from the model's own logits."""
    logits = module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    losses = []
    for i in range(len(batch.ids)):
        where = [pos for pos in range(logits.shape[1]) if batch.mask[i, pos]]
        terms = [cross_entropy(logits[i, pos], batch.targets[i, pos]) for pos in where]
        losses.append(torch.stack(terms).mean())
    return torch.stack(losses)


@pytest.fixture(params=EVERY, ids=lambda cls: cls.name)
def attribution(request):
    return request.param()


def test_there_is_one_finite_float64_score_a_layer(attribution, model):
    scores = attribution.score(model, [batch_of(*ROWS)])
    assert scores.shape == (4,)
    assert scores.dtype == torch.float64
    assert scores.isfinite().all()
    assert not scores.requires_grad


def test_the_same_question_has_the_same_answer(attribution, model):
    first = attribution.score(model, [batch_of(*ROWS)])
    torch.rand(7)
    assert torch.equal(first, attribution.score(model, [batch_of(*ROWS)]))


def test_the_model_is_left_as_it_was(attribution, model):
    before, weights = state_of(model), copy.deepcopy(model.module.state_dict())
    attribution.score(model, [batch_of(*ROWS)])
    assert state_of(model) == before
    assert all(torch.equal(weight, weights[name]) for name, weight in model.module.state_dict().items())


def test_a_frozen_model_scores_the_same(attribution, model):
    frozen = dataclasses.replace(model, module=copy.deepcopy(model.module).requires_grad_(False))
    expected = attribution.score(model, [batch_of(*ROWS)])
    torch.testing.assert_close(attribution.score(frozen, [batch_of(*ROWS)]), expected, rtol=0, atol=1e-12)
    assert not any(parameter.requires_grad for parameter in frozen.module.parameters())


def test_a_caller_without_gradients_gets_the_same(attribution, model):
    expected = attribution.score(model, [batch_of(*ROWS)])
    with torch.no_grad():
        assert torch.equal(attribution.score(model, [batch_of(*ROWS)]), expected)


def test_padding_changes_nothing(attribution, model):
    batch = batch_of(*ROWS)
    wider = Batch(
        batch.ids,
        pad(batch.input_ids, (0, 3), value=7),
        pad(batch.attention_mask, (0, 3)),
        pad(batch.targets, (0, 3), value=7),
        pad(batch.mask, (0, 3)),
    )
    expected = attribution.score(model, [batch])
    torch.testing.assert_close(attribution.score(model, [wider]), expected, rtol=1e-9, atol=1e-12)


def test_batches_change_nothing(attribution, model):
    whole = attribution.score(model, [batch_of(*ROWS)])
    parts = [batch_of(*ROWS[:2]), batch_of(ROWS[2])]
    torch.testing.assert_close(attribution.score(model, parts), whole, rtol=1e-9, atol=1e-12)
    weighted = (2 * attribution.score(model, parts[:1]) + attribution.score(model, parts[1:])) / 3
    torch.testing.assert_close(weighted, whole, rtol=1e-9, atol=1e-12)


def test_a_model_of_bfloat16_scores_in_float64(attribution):
    scores = attribution.score(tiny("llama", n_layer=2, width=16, dtype=torch.bfloat16), [batch_of(*ROWS)])
    assert scores.dtype == torch.float64
    assert scores.isfinite().all()


@pytest.mark.parametrize("planted", [0, 2, 3])
@pytest.mark.parametrize("finder", FINDERS, ids=lambda cls: cls.name)
def test_the_only_layer_that_matters_ranks_first(finder, planted):
    # all blocks but one add nothing, and the answers are what the model says with that block
    model = tiny("llama", n_layer=4, width=16)
    with torch.no_grad():
        for layer, block in enumerate(model.blocks):
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.mul_(5.0 if layer == planted else 0.0)
        batch = batch_of(*ROWS)
        answers = model.module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits.argmax(-1)
    batch = dataclasses.replace(batch, targets=answers)
    scores = finder().score(model, [batch])
    assert int(scores.argmax()) == planted
    others = torch.cat([scores[:planted], scores[planted + 1 :]])
    assert others.abs().max() < 1e-6 * scores[planted]


# Gradient x Activation


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
    "signed": lambda product: product.sum((1, 2)),
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


# Occlusion


def test_occlusion_is_the_loss_without_the_block(model):
    batches = [batch_of(*ROWS[:2]), batch_of(ROWS[2])]

    def loss(module):
        module.config.use_cache = False  # caches are numbered by layer
        with torch.no_grad():
            return torch.cat([example_losses(module, batch) for batch in batches]).mean()

    expected = []
    for layer in range(4):
        shorter = copy.deepcopy(model.module)
        del shorter.model.layers[layer]
        shorter.model.config.num_hidden_layers = 3
        expected.append(loss(shorter) - loss(copy.deepcopy(model.module)))
    scores = Occlusion().score(model, batches)
    assert scores.abs().min() > 1e-4
    torch.testing.assert_close(scores, torch.stack(expected), rtol=0, atol=1e-10)


# controls


def test_random_scores_depend_on_the_seed_only(model):
    cls = available("attribution")["random"]
    batches = [batch_of(*ROWS)]
    one, two = cls(seed=1).score(model, batches), cls(seed=2).score(model, batches)
    assert not torch.equal(one, two)
    assert torch.equal(one, cls(seed=1).score(model, [batch_of(ROWS[2])]))
    assert ((one >= 0) & (one < 1)).all()


def test_uniform_scores_prefer_no_layer(model):
    scores = available("attribution")["uniform"]().score(model, [batch_of(*ROWS)])
    assert len(set(scores.tolist())) == 1
