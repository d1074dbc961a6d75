"""What every attribution promises: a float64 score a layer, the layer that matters first, the model left as it was."""

import copy
import dataclasses

import pytest
import torch
from answer_rows import ROWS, batch_of
from tiny import tiny
from torch.nn.functional import pad

from semalign.data import Batch
from semalign.strategy import available, build

SPECS = {name: {} for name in available("attribution")} | {
    "gradient_x_activation, l2": {"aggregation": "l2"},
    "gradient_x_activation, signed": {"aggregation": "signed"},
    "gradient_x_activation, top units": {"top_share": 0.2},
    "integrated_gradients, signed": {"aggregation": "signed"},
    "integrated_gradients, embeddings": {"baseline": "embeddings"},
    "integrated_gradients, top units": {"top_share": 0.2, "aggregation": "l2"},
}
EVERY = {label: build("attribution", {"name": label.partition(",")[0]} | options) for label, options in SPECS.items()}
FIRST_ORDER = "gradient_x_activation, signed"  # the slope at the end of a curve can have the sign of neither way
FINDERS = {label: each for label, each in EVERY.items() if each.finds_planted and label != FIRST_ORDER}


@pytest.fixture(scope="module")
def model():
    return tiny("llama", n_layer=4, width=16, rms_norm_eps=1e-13)


def state_of(model):
    """All that an attribution might disturb."""
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.module.modules()]
    parameters = list(model.module.parameters())
    return hooks, [p.requires_grad for p in parameters], [p.grad for p in parameters], model.module.training


@pytest.fixture(params=EVERY.values(), ids=EVERY)
def attribution(request):
    return request.param


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
    if getattr(attribution, "top_share", None) is not None:
        return  # the chosen units depend on all rows
    weighted = (2 * attribution.score(model, parts[:1]) + attribution.score(model, parts[1:])) / 3
    torch.testing.assert_close(weighted, whole, rtol=1e-9, atol=1e-12)


def test_a_model_of_bfloat16_scores_in_float64(attribution):
    scores = attribution.score(tiny("llama", n_layer=2, width=16, dtype=torch.bfloat16), [batch_of(*ROWS)])
    assert scores.dtype == torch.float64
    assert scores.isfinite().all()


@pytest.mark.parametrize("planted", [0, 2, 3])
@pytest.mark.parametrize("finder", FINDERS.values(), ids=FINDERS)
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
    scores = finder.score(model, [batch])
    assert int(scores.argmax()) == planted
    others = torch.cat([scores[:planted], scores[planted + 1 :]])
    assert others.abs().max() < 1e-6 * scores[planted]


# controls


def test_random_scores_depend_on_the_seed_only(model):
    cls = available("attribution")["random"]
    batches = [batch_of(*ROWS)]
    one, two = cls(seed=1).score(model, batches), cls(seed=2).score(model, batches)
    assert not torch.equal(one, two)
    assert torch.equal(one, cls(seed=1).score(model, [batch_of(ROWS[2])]))
    assert torch.equal(one, cls().seeded(1).score(model, batches))
    assert torch.equal(cls().score(model, batches), cls(seed=0).score(model, batches))
    assert ((one >= 0) & (one < 1)).all()


def test_uniform_scores_prefer_no_layer(model):
    scores = available("attribution")["uniform"]().score(model, [batch_of(*ROWS)])
    assert len(set(scores.tolist())) == 1
