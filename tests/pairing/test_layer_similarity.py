"""Similarity of two models' layers: the plain formula, a planted copy, and what is refused."""

import copy

import pytest
import torch
from pair import PAD, STUDENT, TEACHER, make_examples, make_model
from torch import nn

from semalign.data import batches
from semalign.errors import UserError
from semalign.linalg.cka import linear_cka
from semalign.pairing import PairingContext
from semalign.pairing.cka_argmax import CKAArgmax
from semalign.pairing.monotone_cka import MonotoneCKA
from semalign.pairing.similarity import LIMIT, layer_similarity, spread

ROWS = list(batches(make_examples(7), 3, PAD))


@pytest.fixture(scope="module")
def pair():
    return make_model(**TEACHER), make_model(**STUDENT)


def answer_states(model):
    """Block outputs at answer tokens by Hugging Face's own hidden states, all but the last (which it norms)."""
    kept = []
    with torch.no_grad():
        for batch in ROWS:
            asked = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
            states = model.module(**asked, output_hidden_states=True).hidden_states[1:-1]
            kept.append([state[batch.mask] for state in states])
    return [torch.cat(parts) for parts in zip(*kept, strict=True)]


def test_it_is_the_cka_of_block_outputs_at_answer_tokens(pair):
    teacher, student = pair
    found = layer_similarity(teacher, student, ROWS, "block_out")
    assert found.shape == (3, 5)
    for i, mine in enumerate(answer_states(student)):
        for j, theirs in enumerate(answer_states(teacher)):
            assert float(found[i, j]) == pytest.approx(linear_cka(mine, theirs), abs=1e-10)


@pytest.mark.parametrize("site", ["mlp_out", "attn_out", "block_delta", "block_out"])
def test_a_model_is_most_like_itself_at_every_site(pair, site):
    teacher = pair[0]
    found = layer_similarity(teacher, teacher, ROWS, site)
    assert torch.allclose(found.diagonal(), torch.ones(5).double(), atol=1e-12)
    assert torch.allclose(found, found.T, atol=1e-12)
    assert found[~torch.eye(5, dtype=torch.bool)].max() < 1


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_block_that_does_nothing_is_found_as_the_place_where_depth_stands_still(pair, place):
    """The planted student is the teacher with an idle block after block `place`."""
    teacher = pair[0]
    student = make_model(**{**TEACHER, "n_layer": 6})
    student.module.model.load_state_dict(_with_idle_block(teacher.module.model, place))
    asked = PairingContext(
        n_teacher=5, n_student=6, similarity=layer_similarity(teacher, student, ROWS, "block_out").clone()
    )
    expected = [*range(place + 1), place, *range(place + 1, 5)]
    for pairing in (MonotoneCKA(), CKAArgmax()):
        assert [pair.teacher[0][0] for pair in pairing.pair(asked)] == expected


def _with_idle_block(module, place):
    deeper = copy.deepcopy(module)
    idle = copy.deepcopy(deeper.layers[place])
    for projection in (idle.self_attn.o_proj, idle.mlp.down_proj):
        nn.init.zeros_(projection.weight)
    deeper.layers.insert(place + 1, idle)
    return deeper.state_dict()


def test_no_hook_is_left_behind():
    models = make_model(**TEACHER), make_model(**STUDENT)
    found = layer_similarity(*models, batches=ROWS, site="mlp_out")
    assert not found.requires_grad
    for model in models:
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.module.modules())


def test_a_site_without_layers_and_states_that_are_no_numbers_are_refused(pair):
    teacher, student = pair
    with pytest.raises(UserError, match="site 'final' belongs to no layer; choose mlp_out"):
        layer_similarity(teacher, student, ROWS, "final")
    damaged = make_model(**STUDENT)
    damaged.blocks[1].mlp.down_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(UserError, match=r"the layers cannot be compared: .* NaN or Inf"):
        layer_similarity(teacher, damaged, ROWS, "block_out")


def test_positions_are_kept_at_equal_distances_over_all_rows():
    masks = [torch.tensor([[True, True, False], [True, True, True]]), torch.tensor([[False, True, True, True, True]])]
    for limit, kept in [(3, [2, 5, 8]), (4, [2, 4, 6, 8]), (1, [8]), (9, list(range(9))), (99, list(range(9)))]:
        places = spread(masks, limit)
        chosen = torch.cat([place[mask] for place, mask in zip(places, masks, strict=True)])
        assert chosen.nonzero().flatten().tolist() == kept
        assert all(not (place & ~mask).any() for place, mask in zip(places, masks, strict=True))


def test_no_more_positions_are_compared_than_the_limit(pair, monkeypatch):
    monkeypatch.setattr("semalign.pairing.similarity.LIMIT", 10)
    assert sum(batch.n_supervised for batch in ROWS) > 10
    few = layer_similarity(*pair, batches=ROWS, site="block_out")
    monkeypatch.setattr("semalign.pairing.similarity.LIMIT", LIMIT)
    assert not torch.allclose(few, layer_similarity(*pair, batches=ROWS, site="block_out"))
