"""Sensitivity: |weight x gradient| by a plain loop, and adapters counted as part of the weights they sit on."""

import copy
import dataclasses

import pytest
import torch
from answer_rows import ROWS, batch_of, example_losses
from tiny import FAMILIES, tiny

from semalign.attribution.sensitivity import Sensitivity
from semalign.models import lora, merge

BATCHES = [batch_of(*ROWS[:2]), batch_of(ROWS[2])]


def plain(model):
    """Mean over rows of |weight x gradient| for every parameter, a row at a time, from the model's own logits."""
    totals = {name: torch.zeros_like(p) for name, p in model.module.named_parameters()}
    for row in ROWS:
        loss = example_losses(model.module, batch_of(row)).sum()
        parameters = list(model.module.parameters())
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for name, parameter, gradient in zip(totals, parameters, gradients, strict=True):
            if gradient is not None:
                totals[name] += (parameter * gradient).abs().detach() / len(ROWS)
    return totals


@pytest.mark.parametrize("family", FAMILIES)
def test_a_layers_score_is_the_sum_over_all_its_parameters(family):
    model = tiny(family)
    totals = plain(model)
    path = model.family.blocks
    expected = [
        sum(float(total.sum()) for name, total in totals.items() if name.startswith(f"{path}.{layer}."))
        for layer in range(model.n_layer)
    ]
    assert Sensitivity().score(model, BATCHES).tolist() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_each_weight_has_its_own_score_with_a_row_for_each_output(family):
    model = tiny(family)
    totals = plain(model)
    found = Sensitivity().weight_scores(model, BATCHES, [2, 0], ["down", "up"])
    assert found.keys() == {(layer, role) for layer in (0, 2) for role in ("down", "up")}
    for (layer, role), scores in found.items():
        expected = totals[f"{model.family.blocks}.{layer}.{model.family.roles[role]}.weight"]
        expected = expected.T if family == "gpt2" else expected
        torch.testing.assert_close(scores, expected, rtol=1e-10, atol=1e-14)


def test_an_adapted_model_scores_as_its_merged_copy():
    model = tiny()
    adapter = lora(model, [0, 1, 2], rank=3).eval().requires_grad_(False)
    for name, parameter in adapter.named_parameters():
        if "lora_" in name:
            parameter.add_(0.2 * torch.randn_like(parameter))
    plainly = dataclasses.replace(model, module=merge(adapter))
    untouched = dataclasses.replace(model, module=copy.deepcopy(adapter).unload())
    expected = Sensitivity().score(plainly, BATCHES)
    torch.testing.assert_close(Sensitivity().score(model, BATCHES), expected, rtol=1e-9, atol=0)
    assert not torch.allclose(Sensitivity().score(untouched, BATCHES), expected)
    found, merged = (Sensitivity().weight_scores(one, BATCHES, [1], ["v"])[1, "v"] for one in (model, plainly))
    torch.testing.assert_close(found, merged, rtol=1e-9, atol=1e-14)
