"""Occlusion and the KL probe against models with the block deleted."""

import copy
import dataclasses

import pytest
import torch
from answer_rows import ROWS, batch_of, example_losses
from tiny import tiny

import semalign.attribution.kl_probe as probe
from semalign.attribution.kl_probe import KLProbe
from semalign.attribution.occlusion import Occlusion

BATCHES = [batch_of(*ROWS[:2]), batch_of(ROWS[2])]


@pytest.fixture(scope="module")
def model():
    return tiny("llama", n_layer=4, width=16)


@pytest.fixture(scope="module")
def modules(model):
    """The whole model, then the model with block 0, 1, ... deleted."""
    shorter = []
    for layer in range(4):
        module = copy.deepcopy(model.module)
        del module.model.layers[layer]
        module.model.config.num_hidden_layers = 3
        shorter.append(module)
    whole = copy.deepcopy(model.module)
    for module in (whole, *shorter):
        module.config.use_cache = False  # caches are numbered by layer
    return [whole, *shorter]


@torch.no_grad()
def row_losses(module):
    return torch.cat([example_losses(module, batch) for batch in BATCHES])


def test_occlusion_is_the_loss_without_the_block(model, modules):
    whole, *shorter = map(row_losses, modules)
    expected = torch.stack([losses - whole for losses in shorter], dim=1)
    assert expected.mean(0).abs().min() > 1e-4
    torch.testing.assert_close(Occlusion().rows(model, BATCHES), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(Occlusion().score(model, BATCHES), expected.mean(0), rtol=0, atol=1e-10)


def divergence(p, q):
    """KL in nats, a token at a time."""
    p, q = p.softmax(-1), q.softmax(-1)
    return sum(float(a) * (float(a.log()) - float(b.log())) for a, b in zip(p, q, strict=True))


@torch.no_grad()
def logits_of(module, batch):
    return module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits


@pytest.mark.parametrize("chunk", [2**24, 1000])
def test_the_kl_probe_is_the_divergence_of_the_outputs(model, modules, chunk, monkeypatch):
    monkeypatch.setattr(probe, "LOGITS_AT_ONCE", chunk)
    expected = []
    for shorter in modules[1:]:
        rows = []
        for batch in BATCHES:
            before, after = logits_of(modules[0], batch), logits_of(shorter, batch)
            for i, mask in enumerate(batch.mask):
                tokens = [divergence(before[i, pos], after[i, pos]) for pos in mask.nonzero()[:, 0]]
                rows.append(sum(tokens) / len(tokens))
        expected.append(sum(rows) / len(rows))
    scores = KLProbe().score(model, BATCHES)
    assert (scores > 1e-4).all()
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10)


def test_the_kl_probe_does_not_look_at_what_the_answers_say(model):
    batch = batch_of(*ROWS)
    other = dataclasses.replace(batch, targets=batch.targets.flip(0))
    assert torch.equal(KLProbe().score(model, [batch]), KLProbe().score(model, [other]))
    assert not torch.equal(Occlusion().score(model, [batch]), Occlusion().score(model, [other]))


@pytest.mark.parametrize("attribution", [Occlusion(), KLProbe()], ids=lambda attribution: attribution.name)
@pytest.mark.parametrize("family", ["gemma2", "gpt_neox", "granite", "qwen3_moe"])
def test_a_block_that_adds_nothing_scores_0(attribution, family):
    model = tiny(family, n_layer=3, width=16)
    with torch.no_grad():
        for parameter in model.blocks[1].parameters():
            parameter.zero_()
        if family == "gemma2":  # its gain is 1 + weight
            for name, parameter in model.blocks[1].named_parameters():
                if name.startswith("post_"):
                    parameter.fill_(-1)
    scores = attribution.score(model, [batch_of(*ROWS)])
    assert scores[1].abs() < 1e-12
    assert scores[[0, 2]].abs().min() > 1e-4
