"""The quality of maps at their pairs is what its plain definition says, and perfect where a perfect map is planted."""

import pytest
import torch
from paired_models import BATCHES, LENGTHS, PAIRS, context_of, plain_states, rotation, rows, twins
from tiny import tiny

from semalign.basis.cosine import Cosine
from semalign.basis.identity import Identity
from semalign.basis.logit import Logit
from semalign.basis.pair_quality import explained_scaled, explained_variance, final_map, pair_quality
from semalign.basis.procrustes import Procrustes
from semalign.basis.quality import agreement
from semalign.basis.ridge import Ridge
from semalign.data import collate


def models():
    return tiny("llama", width=24, n_layer=3, seed=1), tiny("llama", width=16, n_layer=3, seed=2)


def measured(basis, context):
    return pair_quality(basis.fit_pairs(context), context, keeps_norm=basis.keeps_norm)


def plain_cka(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return float((x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))


@torch.no_grad()
def plain_lens(context, fitted, x):
    top1, top5, correlations = [], [], []
    for h in x:
        theirs = context.teacher.head_weight[context.tokens.teacher] @ context.teacher.norm(h)
        ours = context.student.head_weight[context.tokens.student] @ context.student.norm(fitted(h))
        order = ours.argsort(descending=True).tolist()
        best = int(theirs.argmax())
        top1.append(best == order[0])
        top5.append(best in order[:5])
        correlations.append(torch.corrcoef(torch.stack([ours, theirs]))[0, 1])
    return sum(top1) / len(top1), sum(top5) / len(top5), float(torch.stack(correlations).mean())


@pytest.mark.parametrize("basis", [Ridge(), Cosine(), Logit()], ids=lambda basis: basis.name)
def test_every_figure_is_its_plain_version(basis):
    context = context_of(*models(), pairs=PAIRS)
    maps, found = basis.fit_pairs(context), measured(basis, context)
    assert list(found) == [0, 2]
    for layer, states in plain_states(context, "answer").items():
        x, y = (torch.cat(side) for side in zip(*states, strict=True))
        mapped = torch.stack([maps[layer](h) for h in x])
        figures = found[layer]
        total = (y - y.mean(0)).square().sum()
        if basis.keeps_norm:
            assert figures["explained_variance"] == pytest.approx(float(1 - (y - mapped).square().sum() / total), 1e-6)
        else:
            assert figures["explained_variance"] is None
        scale = ((mapped - mapped.mean(0)) * (y - y.mean(0))).sum() / (mapped - mapped.mean(0)).square().sum()
        best = max(float(scale), 0.0) * (mapped - mapped.mean(0)) + y.mean(0)
        assert figures["explained_scaled"] == pytest.approx(float(1 - (y - best).square().sum() / total), abs=1e-6)
        cosines = [float(a @ b / (a.norm() * b.norm())) for a, b in zip(y, mapped, strict=True)]
        assert figures["cosine"] == pytest.approx(sum(cosines) / len(cosines), abs=1e-6)
        assert figures["cka_before"] == pytest.approx(plain_cka(x, y), abs=1e-8)
        assert figures["cka_after"] == pytest.approx(plain_cka(mapped, y), abs=1e-8)
        expected = plain_lens(context, maps[layer], x)
        assert [figures[f"lens_{name}"] for name in ("top1", "top5", "correlation")] == pytest.approx(
            expected, abs=1e-5
        )


def test_a_planted_rotation_is_perfect_in_every_figure():
    context = context_of(*twins(rotation(28, 24)))
    for figures in measured(Procrustes(), context).values():
        assert figures == pytest.approx(dict.fromkeys(figures, 1.0), abs=1e-4)


def test_a_map_that_ends_elsewhere_has_only_its_geometry():
    context = context_of(*models(), pairs=PAIRS)
    for figures in measured(Identity(), context).values():
        assert figures["cka_after"] == pytest.approx(figures["cka_before"], abs=1e-9)
        assert {name for name, value in figures.items() if value is not None} == {"cka_before", "cka_after"}


def test_batches_change_nothing_and_a_limit_bounds_the_positions(monkeypatch):
    context = context_of(*models(), pairs=PAIRS)
    maps, examples = Ridge().fit_pairs(context), rows(*LENGTHS)
    cut = context_of(
        context.teacher,
        context.student,
        pairs=PAIRS,
        batches=[collate(examples[:5], pad_id=0), collate(examples[5:], pad_id=0)],
    )
    whole, parts = (pair_quality(maps, held, keeps_norm=True) for held in (context, cut))
    for layer, figures in whole.items():
        assert parts[layer] == pytest.approx(figures, abs=1e-6)
    seen = []
    monkeypatch.setattr("semalign.basis.pair_quality.LIMIT", 20)
    monkeypatch.setattr("semalign.basis.pair_quality.linear_cka", lambda x, y: seen.append(len(x)) or 0.0)
    pair_quality(maps, context, keeps_norm=True)
    assert BATCHES[0].n_supervised > 40
    assert all(10 <= n <= 20 for n in seen)


def test_explained_variance_has_its_known_limits():
    y = torch.randn(31, 5, dtype=torch.float64) + 4
    assert explained_variance(y, y) == 1.0
    assert explained_variance(y, y.mean(0).expand_as(y)) == pytest.approx(0.0, abs=1e-12)
    assert explained_variance(y, 0 * y) < -1
    assert explained_scaled(y, 3 * y - 7) == pytest.approx(1.0)
    assert explained_scaled(y, -y) == 0.0
    assert explained_scaled(y, torch.ones_like(y)) == 0.0


def test_the_final_map_of_states_is_fitted_where_the_head_reads():
    turn = rotation(28, 24)
    context = context_of(*twins(turn))
    fitted = final_map(Procrustes(), {}, context)
    h = torch.randn(5, 24, dtype=torch.float64)
    root = (28 / 24) ** 0.5  # normed states of a wider stream are longer
    torch.testing.assert_close(fitted(h), root * h @ turn.T, rtol=0, atol=1e-4)
    found = agreement(fitted, context.teacher, context.student, context.tokens, context.batches)
    assert found["agreement_top1"] == 1.0
    vocabulary = final_map(Logit(), Logit().fit_pairs(context), context)
    assert torch.equal(vocabulary.matrix, Logit().fit(*context.vocabularies()).matrix)
