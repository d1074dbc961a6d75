"""The same rows give the same loss and the same gradients however they are batched."""

import dataclasses

import pytest
import torch
from pair import PAD, adapted_step, make_context, make_examples, trainable

from semalign.data import collate
from semalign.losses.cka import CKA
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.fisher import Fisher
from semalign.losses.geometry import Geometry
from semalign.losses.jsd import JSD
from semalign.losses.kl import ForwardKL
from semalign.losses.reverse_kl import ReverseKL
from semalign.methods.gkd import GKD
from semalign.methods.hidden_kd import HiddenKD
from semalign.methods.logit_kd import LogitKD
from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.pairing.depth import Depth
from semalign.pairing.manual import Manual
from semalign.schedules.frontier import Frontier
from semalign.training import TrainingOptions, train

# Sums in another order differ in the last digits of float64; anything real is far larger.
EXACT = {"rel": 1e-10, "abs": 1e-12}
METHODS = {
    "semalign": SemAlign(),
    "semalign two outputs": SemAlign(pairing=Depth(), outputs=(CrossEntropy(weight=0.3), ForwardKL(temperature=2.0))),
    "semalign fisher": SemAlign(site="block_out", loss=Fisher(), pairing=Depth(), outputs=(ForwardKL(),)),
    "semalign geometry": SemAlign(site="block_delta", loss=Geometry(), pairing=Depth(), outputs=(ForwardKL(),)),
    "semalign frontier": SemAlign(loss=CKA(), pairing=Depth(), schedule=Frontier()),
    "logit_kd": LogitKD(outputs=(CrossEntropy(), ForwardKL(temperature=2.0))),
    "logit_kd likeliest": LogitKD(outputs=(JSD(beta=0.2, top_k=5), ReverseKL(top_k=3))),
    "hidden_kd": HiddenKD(positions="all"),
    "gkd": GKD(on_policy=1.0),
    "semalign everywhere": SemAlign(
        site="block_out", loss=Geometry(), pairing=Depth(), outputs=(CrossEntropy(), ForwardKL()), positions="all"
    ),
    "sft everywhere": SFT(positions="all"),
    "sft": SFT(),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def accumulated(method, parts):
    """Loss, totals of the terms and gradients of batches that count as one."""
    _, _, step = adapted_step(method, make_context())
    units: dict[str, int] = {}
    for batch in parts:
        for term, count in step.units(batch).items():
            units[term] = units.get(term, 0) + count
    value, totals = 0.0, {}
    for batch in parts:
        loss, terms, _ = step(batch, units)
        loss.backward()
        value += float(loss.detach())
        for term, total in terms.items():
            totals[term] = totals.get(term, 0.0) + float(total)
    return value, totals, {name: p.grad for name, p in trainable(step).items()}


def assert_same(a, b, *, factor=1.0):
    assert a[0] == pytest.approx(b[0], **EXACT)
    assert {term: total * factor for term, total in a[1].items()} == pytest.approx(b[1], **EXACT)
    assert a[2].keys() == b[2].keys()
    for name, gradient in a[2].items():
        torch.testing.assert_close(gradient, b[2][name], rtol=1e-10, atol=1e-12)


@each_method
@pytest.mark.parametrize("size", [1, 2, 3])
def test_many_small_batches_are_one_large_batch(method, size):
    rows = make_examples(7)
    parts = [collate(rows[i : i + size], PAD) for i in range(0, len(rows), size)]
    assert_same(accumulated(method, parts), accumulated(method, [collate(rows, PAD)]))


@each_method
def test_twice_the_batch_is_the_same_loss(method):
    rows = make_examples(5)
    assert_same(accumulated(method, [collate(rows, PAD)]), accumulated(method, [collate(rows + rows, PAD)]), factor=2)


@each_method
def test_padding_changes_nothing(method):
    batch = collate(make_examples(5), PAD)
    wider = {
        "input_ids": torch.nn.functional.pad(batch.input_ids, (0, 6), value=PAD),
        "attention_mask": torch.nn.functional.pad(batch.attention_mask, (0, 6)),
        "targets": torch.nn.functional.pad(batch.targets, (0, 6), value=PAD),
        "mask": torch.nn.functional.pad(batch.mask, (0, 6)),
    }
    expected = accumulated(method, [batch])
    assert_same(accumulated(method, [dataclasses.replace(batch, **wider)]), expected)
    assert_same(accumulated(method, [collate(make_examples(5), PAD + 41)]), expected)


@each_method
def test_training_does_not_depend_on_the_size_of_micro_batches(method, tmp_path):
    found = []
    for parts in ({}, {"micro_batch_size": 1}, {"micro_batch_size": 3}, {"micro_batch_size": 2, "max_padding": 0.1}):
        _, _, step = adapted_step(method, make_context())
        options = TrainingOptions(epochs=2, batch_size=5, learning_rate=0.01, **parts)
        history = train(step, make_examples(7), options, pad_id=PAD, seed=3, folder=tmp_path / str(len(found)))
        found.append((history, {name: p.detach() for name, p in trainable(step).items()}))
    whole, adapters = found[0]
    for history, others in found[1:]:
        for a, b in zip(whole.entries, history.entries, strict=True):
            for entry in ("loss", "terms", "cosine", "grad_norm"):
                assert a[entry] == pytest.approx(b[entry], **EXACT)
            assert a["tokens"] == b["tokens"]
        for name, value in adapters.items():
            # AdamW divides by the root of squared gradients, which magnifies last digits
            torch.testing.assert_close(others[name], value, rtol=1e-8, atol=1e-10)


def test_the_latent_term_of_several_pairs_is_their_mean():
    """More pairs do not drown the output term."""
    rows = [collate(make_examples(5), PAD)]
    pairs = ((0, 1), (1, 4), (2, 2))
    alone = [accumulated(SemAlign(pairing=Manual(pairs=(pair,)), outputs=(), train="all"), rows)[0] for pair in pairs]
    together = accumulated(SemAlign(pairing=Manual(pairs=pairs), outputs=(), train="all"), rows)[0]
    assert together == pytest.approx(sum(alone) / 3, **EXACT)
