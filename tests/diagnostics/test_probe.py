"""The probe: planted truths, plain float64 versions, and that measuring changes nothing."""

import dataclasses

import pytest
import torch
from pair import PAD, STUDENT, TEACHER, make_examples, make_model

from semalign.data import batches
from semalign.diagnostics import Probe
from semalign.diagnostics.probe import spread
from semalign.errors import UserError
from semalign.models import SharedTokens, lora

TOKENS = SharedTokens.of_one(torch.arange(4, 47))  # a part of the vocabulary, as the tokens of two tokenizers share
OTHER = SharedTokens(teacher=torch.arange(40, 3, -1), student=torch.arange(9, 46))


@pytest.fixture(scope="module")
def teacher():
    return make_model(**TEACHER)


@pytest.fixture
def student():
    return make_model(**STUDENT)


@pytest.fixture(scope="module")
def rows():
    return list(batches(make_examples(7), 3, PAD))


def _plain_states(model, rows):
    """Block outputs and final states at answer positions, row by row without padding."""
    blocks, final = [[] for _ in range(model.n_layer - 1)], []
    for batch in rows:
        for ids, seen, mask in zip(batch.input_ids, batch.attention_mask, batch.mask, strict=True):
            length = int(seen.sum())
            out = model.module(ids[None, :length], output_hidden_states=True)
            kept = mask[:length]
            for layer in range(model.n_layer - 1):
                blocks[layer].append(out.hidden_states[layer + 1][0][kept])
            final.append(out.hidden_states[-1][0][kept])  # HF keeps the last state after the final norm
    return [torch.cat(part) for part in blocks], torch.cat(final)


def _plain_cka(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return float((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))


def _n_hook(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.module.modules())


@torch.no_grad()
def test_numbers_equal_a_plain_version(teacher, student, rows):
    found = Probe(teacher, rows, OTHER)(student, cka=True)
    ours, ours_final = _plain_states(student, rows)
    theirs, theirs_final = _plain_states(teacher, rows)
    target = teacher.module.lm_head(theirs_final)[:, OTHER.teacher].softmax(-1)
    norm, head = student.module.model.norm, student.module.lm_head
    said = [*(head(norm(state)) for state in ours), head(ours_final)]
    kl = [(target * (target.log() - z[:, OTHER.student].log_softmax(-1))).sum(-1).mean() for z in said]
    assert found["lens_kl"] == pytest.approx([float(value) for value in kl], abs=1e-10)
    same = said[-1][:, OTHER.student].argmax(-1) == target.argmax(-1)
    assert found["agreement"] == pytest.approx(float(same.double().mean()))
    for i, state in enumerate(ours):
        for j, other in enumerate(theirs):
            assert found["cka"][i][j] == pytest.approx(_plain_cka(state, other), abs=1e-10)
    answers = sum(int(batch.mask.sum()) for batch in rows)
    assert found["supervised_share"] == answers / sum(int(batch.attention_mask.sum()) for batch in rows)


def test_a_student_equal_to_the_teacher_has_taken_over_everything(teacher, rows):
    found = Probe(teacher, rows, TOKENS)(make_model(**TEACHER), cka=True)
    assert found["agreement"] == 1
    assert found["lens_kl"][-1] == pytest.approx(0, abs=1e-12)
    assert min(found["lens_kl"][:-1]) > 1e-3  # only the last layer says what the model says
    matrix = torch.tensor(found["cka"])
    assert matrix.shape == (5, 5)
    assert matrix.diagonal().tolist() == pytest.approx([1.0] * 5, abs=1e-10)
    assert float((matrix - torch.eye(5)).max()) < 1 - 1e-3


def test_padding_and_batch_size_change_nothing(teacher, student, rows):
    before = Probe(teacher, rows, TOKENS)(student, cka=True)
    apart = list(batches(make_examples(7), 2, PAD))
    filled = [
        dataclasses.replace(batch, input_ids=torch.where(batch.attention_mask.bool(), batch.input_ids, 9))
        for batch in apart
    ]
    after = Probe(teacher, filled, TOKENS)(student, cka=True)
    assert after["lens_kl"] == pytest.approx(before["lens_kl"], abs=1e-10)
    assert after["agreement"] == before["agreement"]
    for ours, theirs in zip(after["cka"], before["cka"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)


def test_cka_is_measured_only_where_asked(teacher, student, rows):
    assert set(Probe(teacher, rows, TOKENS)(student)) == {"lens_kl", "agreement", "supervised_share"}


def test_measuring_changes_nothing(teacher, student, rows):
    """Mid-training: dropout on, gradients wanted, random numbers in use."""
    adapter = lora(student, [0, 2], rank=2, dropout=0.5)
    adapter.train()
    student.blocks[1].eval()  # a module that is not in its parent's mode
    modes = [module.training for module in adapter.modules()]
    state, hooks = torch.get_rng_state(), [_n_hook(model) for model in (student, teacher)]
    probe = Probe(teacher, rows, TOKENS)
    first, second = probe(student, cka=True), probe(student, cka=True)
    assert first == second  # dropout is off
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in adapter.modules()] == modes
    assert all(p.grad is None for p in adapter.parameters())
    assert [_n_hook(model) for model in (student, teacher)] == hooks
    assert not any(final.requires_grad for final in probe._final)


def test_hooks_vanish_after_an_error(teacher, student, rows):
    probe = Probe(teacher, rows, TOKENS)
    broken = dataclasses.replace(rows[0], input_ids=rows[0].input_ids + 1000)
    probe.batches = [broken, *rows[1:]]
    student.module.train()
    with pytest.raises(IndexError):
        probe(student)
    assert _n_hook(student) == 0
    assert student.module.training


@pytest.mark.parametrize("limit", [1, 4, 11, 1000])
def test_positions_are_spread_over_the_answers(rows, limit):
    masks = [batch.mask for batch in rows]
    total = sum(int(mask.sum()) for mask in masks)
    places = spread(masks, limit)
    assert sum(int(place.sum()) for place in places) == min(limit, total)
    assert all(bool((mask | ~place).all()) for mask, place in zip(masks, places, strict=True))
    order = torch.cat([place[mask] for mask, place in zip(masks, places, strict=True)]).nonzero().flatten()
    steps = order.diff()
    assert steps.numel() == 0 or int(steps.max() - steps.min()) <= 1


@torch.no_grad()
def test_a_limited_probe_measures_the_chosen_positions(teacher, student, rows):
    probe = Probe(teacher, rows, TOKENS, limit=5)
    kept = [dataclasses.replace(b, mask=place) for b, place in zip(rows, probe.places, strict=True)]
    whole = Probe(teacher, kept, TOKENS)(student)
    few = probe(student)
    assert (few["lens_kl"], few["agreement"]) == (whole["lens_kl"], whole["agreement"])


def test_rows_without_answers_are_refused(teacher, rows):
    empty = [dataclasses.replace(batch, mask=torch.zeros_like(batch.mask)) for batch in rows]
    with pytest.raises(UserError, match="have 0 answer tokens, at least 2"):
        Probe(teacher, empty, TOKENS)
