"""Loaded weights ask for no gradient, so that no attribution keeps one or holds activations on their account."""

import pytest
import torch
from pair import PAD, make_examples

from semalign.attribution.base import Attribution, answer_loss
from semalign.data import collate
from semalign.models import load
from semalign.strategy import available

ATTRIBUTIONS = available("attribution")


@pytest.mark.parametrize("name", ATTRIBUTIONS)
def test_an_attribution_leaves_no_gradient_on_weights(name):
    model = load("embedded:student")
    strategy = ATTRIBUTIONS[name]()
    assert isinstance(strategy, Attribution)
    strategy.score(model, [collate(make_examples(2), PAD)])
    assert not any(p.requires_grad or p.grad is not None for p in model.module.parameters())


def test_a_backward_to_the_embeddings_holds_less_for_frozen_weights():
    model, batch = load("embedded:student"), collate(make_examples(4), PAD)
    frozen = saved_bytes(model, batch)
    model.module.requires_grad_(True)
    assert frozen < 0.9 * saved_bytes(model, batch)


def saved_bytes(model, batch):
    """Bytes a graph from the embeddings to the loss keeps, weights left out, each storage once."""
    weights = {p.untyped_storage().data_ptr() for p in model.module.parameters()}
    saved = []
    embeddings = model.module.get_input_embeddings()(batch.input_ids).detach().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        hidden = model.module.base_model(inputs_embeds=embeddings, attention_mask=batch.attention_mask, use_cache=False)
        assert answer_loss(model, hidden.last_hidden_state, batch).sum().requires_grad
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in saved}
    return sum(size for place, size in storages.items() if place not in weights)
