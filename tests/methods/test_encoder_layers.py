"""Layers of an encoder follow a teacher on the prompt: targets, positions and gradients are where they are meant."""

import dataclasses
import json

import pytest
import torch
from seq2seq_pairs import LARGE, PAIRS, SMALL, context_of, pair_of

from semalign.basis.identity import Identity
from semalign.basis.logit import Logit
from semalign.basis.ridge import Ridge
from semalign.data import batches, collate
from semalign.errors import UserError
from semalign.losses.cka import CKA
from semalign.losses.cosine import Cosine
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.fisher import Fisher
from semalign.losses.kl import ForwardKL
from semalign.losses.mse import MSE
from semalign.methods import Given
from semalign.methods.encoder_decoder import refuse_encoder_decoder
from semalign.methods.semalign import SemAlign
from semalign.methods.teacher import OnlineTeacher
from semalign.models import Point, encoder_of, reader_of, states_of, unload
from semalign.pairing.critical import Critical
from semalign.pairing.depth import Depth
from semalign.pairing.monotone_cka import MonotoneCKA
from semalign.schedules.frontier import Frontier
from semalign.strategy import build
from semalign.training import TrainingOptions

OPTIONS = TrainingOptions(epochs=6, batch_size=6, learning_rate=0.001)
RIDGE = SemAlign(
    part="encoder", pairing=Depth(), basis=Ridge(), site="block_out", loss=Cosine(), outputs=(CrossEntropy(),)
)
METHODS = {
    "ridge": dataclasses.replace(RIDGE, outputs=(CrossEntropy(), ForwardKL()), train="all"),
    "no outputs": dataclasses.replace(RIDGE, outputs=()),
    "logit, principal": dataclasses.replace(RIDGE, basis=Logit(), loss=MSE(), site="mlp_out", start="principal"),
    "identity, cka": dataclasses.replace(
        RIDGE, pairing=MonotoneCKA(), basis=Identity(), loss=CKA(), site="block_delta", outputs=(ForwardKL(),)
    ),
    "balanced": dataclasses.replace(RIDGE, balance=True, norm="student", loss=MSE()),
}
TO_ENCODERS = [pair for pair, (_, student, _) in PAIRS.items() if student[0] in ("t5", "bart")]
EVERY_METHOD = ("llama to t5, two tokenizers", "t5 to t5: read alike", "pegasus to bart, two tokenizers")
COMBINED = [(pair, method) for pair in TO_ENCODERS for method in METHODS if pair in EVERY_METHOD or method == "ridge"]


def planned(pair, method=RIDGE):
    teacher, student = pair_of(PAIRS[pair][:2], PAIRS[pair][2])
    context, rows = context_of(teacher, student)
    return context, rows, method.plan(context)


@pytest.mark.parametrize(("pair", "method"), COMBINED)
def test_every_pair_trains_and_the_loss_falls(pair, method, tmp_path):
    teacher, student = pair_of(PAIRS[pair][:2], PAIRS[pair][2])
    method = METHODS[method]
    context, rows = context_of(teacher, student)
    before = {name: p.detach().clone() for name, p in student.module.named_parameters()}
    refuse_encoder_decoder("m", method, teacher, student)
    method.check(teacher, student, OPTIONS.n_step(len(rows)))
    method.check_lora(teacher, student, context.lora)
    plan = method.plan(context)
    plan.save(tmp_path / "plan")
    assert type(plan).load(tmp_path / "plan").encoder_layers == plan.encoder_layers == (0, 1)
    assert plan.layers == ((0, 1) if method.train == "all" else ())
    adapter = method.adapt(context, plan, context.lora)
    given = Given(rows={"train": rows}, options=OPTIONS, pad_id=0, folder=tmp_path)
    entries = method.fit(context, plan, adapter, given).entries
    assert min(entry["loss"] for entry in entries[1:]) < entries[0]["loss"]
    if method.basis.name != "identity":
        assert len(entries[0]["cosine"]) == 2
        assert all(-1 <= cosine <= 1 for cosine in entries[0]["cosine"].values())
    unload(adapter)
    for name, p in student.module.named_parameters():
        assert torch.equal(p, before[name]), name


@pytest.mark.parametrize("pair", TO_ENCODERS)
def test_targets_are_the_mapped_states_of_the_teacher_at_the_same_place_of_the_prompt(pair):
    context, rows, plan = planned(pair)
    teacher, student = context.teacher, context.student
    part = reader_of(teacher)
    online = OnlineTeacher(teacher, "block_out", plan.maps, context.tokens.teacher, part="encoder")
    batch = collate(rows, 0)
    said = online(batch, plan.pairs, batch.followed)
    n_followed = 0
    for i, row in enumerate(rows):
        other = row.of_teacher
        ids = torch.tensor([other.input_ids if other.encoder is None else list(other.encoder)])
        for pair_ in plan.pairs:
            ((layer, _),) = pair_.teacher
            assert layer < part.n_layer
            with torch.no_grad():
                state = states_of(part, [Point("block_out", layer)], ids, torch.ones_like(ids))
            expected = plan.maps[pair_.student](state[Point("block_out", layer)][0])
            places = range(len(row.encoder)) if row.teacher is None else row.teacher.prompt_last
            for position, place in enumerate(places):
                if batch.prompts.followed[i, position]:
                    n_followed += 1
                    found = said.states[pair_.student][i, position]
                    torch.testing.assert_close(found, expected[place], rtol=1e-3, atol=1e-4)
    assert n_followed == int(batch.prompts.followed.sum()) * len(plan.pairs) > 20
    # what the output is compared with is what it is without an encoder's pairs
    plain = OnlineTeacher(teacher, "block_out", None, context.tokens.teacher)(batch, [], batch.followed)
    torch.testing.assert_close(said.logits(slice(None)), plain.logits(slice(None)), rtol=1e-4, atol=1e-5)
    assert student.is_encoder_decoder


@pytest.mark.parametrize("pair", ["llama to t5, two tokenizers", "t5 to t5: read alike"])
def test_a_layers_gradient_stays_in_the_encoder_below_it_and_places_not_followed_change_nothing(pair):
    method = dataclasses.replace(RIDGE, outputs=(), train="all", pairing=Depth(count=1))
    context, rows, plan = planned(pair, method)
    plan = dataclasses.replace(plan, pairs=(dataclasses.replace(plan.pairs[0], student=0),), maps={0: plan.maps[1]})
    adapter = method.adapt(context, plan, context.lora)
    step = method.step(context, plan)
    batch = next(batches(rows, 6, 0))
    units = step.units(batch)
    assert units == {"latent_cosine": int(batch.prompts.followed.sum())}
    loss, totals, cosines = step(batch, units)
    loss.backward()
    n = units["latent_cosine"]
    assert float(loss.detach()) == pytest.approx(1 - float(next(iter(cosines.values()))) / n, abs=1e-5)
    assert totals.keys() == {"latent_cosine"}
    pulled = {name for name, p in step.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    first = f"{encoder_of(context.student).family.blocks}.0."
    assert pulled
    assert all(first in name for name in pulled), pulled
    unload(adapter)


def test_an_accumulated_step_is_the_step_of_the_whole_batch():
    context, rows, plan = planned("pegasus to bart, two tokenizers", METHODS["ridge"])
    adapter = METHODS["ridge"].adapt(context, plan, context.lora)
    step = METHODS["ridge"].step(context, plan)
    whole = next(batches(rows, 6, 0))
    units = step.units(whole)
    together = float(step(whole, units)[0].detach())
    parts = [float(step(batch, units)[0].detach()) for batch in batches(rows, 1, 0)]
    assert sum(parts) == pytest.approx(together, rel=1e-4)
    unload(adapter)


def test_a_permuted_prompt_changes_the_target():
    """Targets are the prompt's: another prompt of the same answer gives others, at an encoder and at a decoder."""
    for pair in ("llama to t5", "t5 to t5: read alike"):
        context, rows, plan = planned(pair)
        online = OnlineTeacher(context.teacher, "block_out", plan.maps, None, part="encoder")
        batch = collate(rows[:2], 0)
        own, other = batch.of_teacher, collate([rows[1], rows[0]], 0)
        said, swapped = (online(each, plan.pairs, each.followed).states[1] for each in (batch, other))
        assert own.ids == ["0", "1"]
        n = int(batch.prompts.attention_mask[0].sum())
        torch.testing.assert_close(said[0, :n], swapped[1, :n], rtol=1e-3, atol=1e-4)
        assert not torch.allclose(said[0, : n - 1], said[1, : n - 1])


def test_what_makes_no_sense_is_refused_in_one_line():
    to_t5, t5_to_t5 = (("llama", LARGE), ("t5", SMALL)), (("t5", LARGE), ("t5", SMALL))
    with pytest.raises(UserError, match="tiny-llama is decoder-only; leave it out"):
        RIDGE.check(*pair_of((("t5", LARGE), ("llama", SMALL))), 9)
    critical = dataclasses.replace(RIDGE, pairing=Critical())
    critical.check(*pair_of(to_t5), 9)
    with pytest.raises(UserError, match=r"pairing 'critical' ranks the teacher's decoder layers.*use depth"):
        critical.check(*pair_of(t5_to_t5), 9)
    with pytest.raises(UserError, match="the student has 2 layers"):
        dataclasses.replace(RIDGE, pairing=Depth(count=3)).check(*pair_of(to_t5), 9)
    for changes, says in (
        ({"loss": Fisher()}, "read no state of an encoder"),
        ({"agreement": True}, "leave it out with 'part: encoder'"),
        ({"schedule": Frontier(cache=False)}, "with 'part: encoder' use joint"),
    ):
        with pytest.raises(UserError, match=says):
            dataclasses.replace(RIDGE, **changes)
    assert not RIDGE.cacheable


def test_the_part_stands_in_a_configuration_where_it_is_the_encoder():
    assert build("method", json.loads(json.dumps(RIDGE.spec()))) == RIDGE
    decoder = dataclasses.replace(RIDGE, part="decoder")
    assert "part" not in decoder.spec()
    assert build("method", decoder.spec()) == decoder
