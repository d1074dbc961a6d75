"""Maps fitted on states: what is planted between two models is found, pair by pair; plain versions; what is refused."""

import json

import pytest
import torch
from paired_models import BATCHES, LENGTHS, PAIRS, SIZES, D, context_of, plain_states, rotation, rows, twins
from tiny import tiny

from semalign.basis import SemanticMap, Vocabulary
from semalign.basis.cosine import Cosine
from semalign.basis.procrustes import Procrustes
from semalign.basis.ridge import Ridge
from semalign.basis.states import paired_states
from semalign.data import collate
from semalign.errors import UserError
from semalign.linalg.moments import Moments
from semalign.strategy import available

FITTED = [basis for basis in (cls() for cls in available("basis").values()) if basis.uses_states]


def ids(basis):
    return basis.name


def close(actual, expected, tolerance=1e-4):
    torch.testing.assert_close(actual.double(), expected.double(), rtol=0, atol=tolerance * float(expected.abs().max()))


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


# what they claim


def test_both_are_here():
    assert [basis.name for basis in FITTED] == ["procrustes", "ridge"]
    assert all(basis.recovers == "states" and basis.keeps_norm for basis in FITTED)


@pytest.mark.parametrize("basis", FITTED, ids=ids)
@pytest.mark.parametrize("d_s", [D, 28])
@pytest.mark.parametrize("site", ["block_out", "mlp_out", "attn_out", "block_delta"])
def test_a_planted_rotation_between_two_models_is_found_at_every_pair(basis, d_s, site):
    turn = rotation(d_s, D)
    teacher, student = twins(turn)
    context = context_of(teacher, student, site=site)
    maps = basis.fit_pairs(context)
    assert list(maps) == [0, 1, 2]
    for states in paired_states(context, BATCHES[0], "all"):
        fitted, h = maps[states.student_layer], states.x
        assert fitted.width == d_s
        assert fitted.about()["explained_variance"] == pytest.approx(1, abs=1e-6)
        close(fitted(h), h @ turn.T, tolerance=1e-3)


@pytest.mark.parametrize("basis", FITTED, ids=ids)
@pytest.mark.parametrize("center", [False, True])
def test_one_model_on_both_sides_is_left_alone(basis, center):
    model = tiny("llama", width=D, **SIZES)
    h = random(6, D)
    for fitted in basis.replace(center=center).fit_pairs(context_of(model, model)).values():
        close(fitted(h), h)


@torch.no_grad()
def test_a_planted_matrix_is_found_by_least_squares_and_by_no_rotation():
    teacher, student = twins(torch.eye(D).double())
    planted = random(D, D)
    weight = student.module.model.layers[2].mlp.down_proj.weight
    weight.copy_(planted @ weight)
    context = context_of(teacher, student, pairs={2: ((2, 1.0),)}, site="mlp_out")
    ridge, turned = (basis.fit_pairs(context)[2] for basis in (Ridge(), Procrustes()))
    close(ridge.matrix, planted)
    assert ridge.about()["explained_variance"] > 0.9999
    assert turned.about()["explained_variance"] < 0.9


def test_noise_is_shrunk_and_signal_is_not():
    def moments(n, signal):
        x = random(n, 9)
        part = Moments.zero(9, 5)
        part.update(x, x @ planted if signal else random(n, 5))
        return part

    planted = random(9, 5)
    noise, signal = (Ridge().solve(moments(90, kind), moments(30, kind)).notes["shrinkage"] for kind in (False, True))
    assert noise >= 1.0
    assert signal == 1e-8


# plain versions


def plain_ridge(x, y, shrinkage, center):
    mean_x, mean_y = (x.mean(0), y.mean(0)) if center else (0 * x[0], 0 * y[0])
    a, b = x - mean_x, y - mean_y
    gram = a.T @ a
    matrix = torch.linalg.solve(gram + shrinkage * gram.diagonal().mean() * torch.eye(len(gram)).double(), a.T @ b).T
    return matrix, mean_y - matrix @ mean_x


def joined(parts):
    return [torch.cat(side) for side in zip(*parts, strict=True)]


@pytest.mark.parametrize("positions", ["all", "answer"])
@pytest.mark.parametrize("center", [False, True])
def test_ridge_is_its_plain_version(positions, center):
    teacher, student = tiny("llama", width=D, n_layer=3, seed=1), tiny("llama", width=16, n_layer=3, seed=2)
    context = context_of(teacher, student, pairs=PAIRS)
    shrinkages = (1e-6, 0.02, 0.5, 4.0)
    maps = Ridge(positions=positions, center=center, shrinkages=shrinkages).fit_pairs(context)
    for layer, states in plain_states(context, positions).items():
        held_x, held_y = joined(states[3::4])
        fit = joined([state for i, state in enumerate(states) if i % 4 != 3])
        explained = []
        for shrinkage in shrinkages:
            matrix, offset = plain_ridge(*fit, shrinkage, center)
            residual = (held_y - held_x @ matrix.T - offset).square().sum()
            explained.append(float(1 - residual / (held_y - held_y.mean(0)).square().sum()))
        best = max(range(4), key=explained.__getitem__)
        about = maps[layer].about()
        assert about["shrinkage"] == shrinkages[best]
        assert about["explained_variance"] == pytest.approx(explained[best], abs=1e-6)
        assert about["n_token"] == sum(len(x) for x, _ in states)
        matrix, offset = plain_ridge(*joined(states), shrinkages[best], center)
        h = random(4, D)
        close(maps[layer](h), h @ matrix.T + offset, tolerance=1e-5)


@pytest.mark.parametrize("basis", FITTED, ids=ids)
def test_batches_change_nothing(basis):
    teacher, student = tiny("llama", width=D, n_layer=3, seed=1), tiny("llama", width=16, n_layer=3, seed=2)
    examples, h = rows(*LENGTHS), random(4, D)
    cut = [collate(examples[:5], pad_id=0), collate(examples[5:6], pad_id=0), collate(examples[6:], pad_id=0)]
    whole, parts = (basis.fit_pairs(context_of(teacher, student, batches=b, pairs=PAIRS)) for b in (BATCHES, cut))
    for layer, fitted in whole.items():
        close(parts[layer](h), fitted(h), tolerance=1e-6)


@pytest.mark.parametrize("basis", FITTED, ids=ids)
def test_a_fit_leaves_no_trace(basis):
    teacher, student = tiny("llama", width=D, n_layer=3, seed=1), tiny("llama", width=16, n_layer=3, seed=2)
    before = [p.clone() for model in (teacher, student) for p in model.module.parameters()]
    maps = basis.fit_pairs(context_of(teacher, student, pairs=PAIRS))
    after = [p for model in (teacher, student) for p in model.module.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.grad is None for p in after)
    assert not any(m._forward_hooks for model in (teacher, student) for m in model.module.modules())
    assert not any(tensor.requires_grad for fitted in maps.values() for tensor in fitted.tensors().values())


@pytest.mark.parametrize("basis", FITTED, ids=ids)
@pytest.mark.parametrize("center", [False, True])
def test_a_fitted_map_comes_back_from_disk(basis, center):
    teacher, student = tiny("llama", width=D, n_layer=3, seed=1), tiny("llama", width=16, n_layer=3, seed=2)
    fitted = basis.replace(center=center).fit_pairs(context_of(teacher, student, pairs=PAIRS))[2]
    assert ("offset" in fitted.tensors()) == center
    again = SemanticMap.load(fitted.tensors(), json.loads(json.dumps(fitted.about(), allow_nan=False)))
    h = random(4, D)
    assert torch.equal(again(h), fitted(h))
    assert again.about() == fitted.about()
    if not center:
        close(fitted(3 * h), 3 * fitted(h), tolerance=1e-6)


def test_maps_of_the_vocabulary_are_one_object_for_every_pair():
    teacher, student = tiny("llama", width=D, n_layer=3, seed=1), tiny("llama", width=16, n_layer=3, seed=2)
    context = context_of(teacher, student, pairs=PAIRS)
    maps = Cosine().fit_pairs(context)
    assert list(maps) == [0, 2]
    assert maps[0] is maps[2]
    sides = [Vocabulary.of(model, context.tokens.student) for model in (teacher, student)]
    assert torch.equal(maps[0].matrix, Cosine().fit(*sides).matrix)


# what is refused


@pytest.mark.parametrize("basis", FITTED, ids=ids)
def test_vocabularies_alone_are_not_enough(basis):
    model = tiny("llama", width=D, n_layer=1)
    side = Vocabulary.of(model, torch.arange(100))
    with pytest.raises(UserError) as caught:
        basis.fit(side, side)
    assert str(caught.value) == f"basis '{basis.name}' is fitted on the states of paired layers, not on vocabularies"


@pytest.mark.parametrize("basis", FITTED, ids=ids)
def test_too_few_rows_to_hold_some_out_are_refused(basis):
    model = tiny("llama", width=D, n_layer=3)
    few = [collate(rows(9, 8, 7), pad_id=0)]
    with pytest.raises(UserError) as caught:
        basis.fit_pairs(context_of(model, model, batches=few))
    assert str(caught.value) == (
        f"basis '{basis.name}' is fitted on calibration rows and checked on every 4th of them, but there are 3; "
        "add rows to the split align or train"
    )


def test_a_rotation_that_the_tokens_do_not_determine_is_refused_with_its_pair():
    teacher, student = tiny("llama", width=D, n_layer=3, seed=1), tiny("llama", width=16, n_layer=3, seed=2)
    few = [collate(rows(5, 5, 4, 4), pad_id=0)]
    with pytest.raises(UserError) as caught:
        Procrustes().fit_pairs(context_of(teacher, student, batches=few, pairs={1: ((0, 0.5), (1, 0.5))}))
    assert str(caught.value) == (
        "basis 'procrustes', student layer 1 from teacher layer 0 + 1, site block_out: the two models' states have "
        "only 10 of 16 directions in common on 11 tokens, so the rotation is not determined; give more calibration rows"
    )
    assert Ridge().fit_pairs(context_of(teacher, student, batches=few))[0].condition == float("inf")


def test_an_empty_list_of_shrinkages_is_refused():
    with pytest.raises(UserError, match="'shrinkages' is empty"):
        Ridge(shrinkages=())


@pytest.mark.parametrize("basis", FITTED, ids=ids)
def test_damaged_weights_are_refused(basis):
    teacher, student = tiny("llama", width=D, n_layer=3, seed=1), tiny("llama", width=16, n_layer=3, seed=2)
    with torch.no_grad():
        student.module.model.layers[1].mlp.down_proj.weight[3, 2] = float("nan")
    with pytest.raises(UserError, match="the states hold NaN or Inf"):
        basis.fit_pairs(context_of(teacher, student, pairs=PAIRS))
