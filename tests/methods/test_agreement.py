"""Layer losses only where the mapped teacher says what the teacher says."""

import json

import pytest
import torch
from pair import STUDENT, adapted_step, make_context, make_examples, make_model
from tiny_run import config_of, write_world

from semalign.basis.ridge import Ridge
from semalign.data import batches
from semalign.errors import UserError
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.mse import MSE
from semalign.methods.semalign import SemAlign
from semalign.pairing.depth import Depth
from semalign.pipeline import run


def method(**changes):
    given = {
        "basis": Ridge(),
        "site": "block_out",
        "loss": MSE(),
        "outputs": (CrossEntropy(),),
        "pairing": Depth(count=2),
    }
    return SemAlign(**given | changes)


def near_pair():
    """A teacher that is the student but for its head: it often has the same likeliest token, and often another."""
    teacher = make_model(**STUDENT)
    weight = teacher.module.get_output_embeddings().weight
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    weight.data += 0.5 * weight.data.std() * noise
    return make_context(teacher=teacher)


def test_the_latent_loss_counts_the_positions_that_agree_and_is_divided_by_all():
    context, again = near_pair(), near_pair()
    step = adapted_step(method(agreement=True), context)[2]
    plain = adapted_step(method(), again)[2]
    batch = next(batches(make_examples(6), 6, 0))
    source, units = step.signals, step.units(batch)
    signals = source(batch, step.stage.pairs, batch.followed)
    with torch.no_grad():
        h = context.teacher.module.base_model(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        said = context.teacher.module.lm_head(h)[..., context.tokens.teacher].argmax(-1)
        read = context.student.module.get_output_embeddings()(source.final(h))[..., context.tokens.student].argmax(-1)
    expected = (said == read) & batch.followed
    assert torch.equal(signals.agree, expected)
    assert 0 < int(expected.sum()) < int(batch.followed.sum())
    name = "latent_mse"
    assert units[name] == plain.units(batch)[name]
    total = step(batch, units)[1][name]
    whole = plain(batch, units)[1][name]
    assert 0 < float(total) < float(whole)


def test_it_needs_states_that_the_students_head_can_read():
    teacher = make_model(n_layer=4, width=24, inner=32, n_head=4, stream=1)
    student = make_model(n_layer=2, width=16, inner=32, n_head=4, stream=2)
    from semalign.basis.identity import Identity
    from semalign.losses.cka import CKA

    with pytest.raises(UserError, match="'agreement' reads mapped states"):
        method(agreement=True, basis=Identity(), loss=CKA()).check(teacher, student, 10)


def test_a_run_with_the_mask(tmp_path):
    world = write_world(tmp_path)
    given = {
        "name": "semalign",
        "site": "block_out",
        "basis": "ridge",
        "outputs": ["cross_entropy", "kl"],
        "agreement": True,
    }
    out = run(config_of(world, method=given, controls=[]), tmp_path / "out")
    assert json.loads((out / "record.json").read_text())["training"]["semalign"]
    with pytest.raises(UserError, match="can follow a teacher from disk"):  # a cache does not hold where they agree
        run(config_of(world, method=given, controls=[], cache={}), tmp_path / "cached")
