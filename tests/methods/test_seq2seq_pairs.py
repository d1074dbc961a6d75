"""Encoder-decoder students and teachers: methods train, losses are transformers' own, what makes no sense says so."""

import copy
from dataclasses import replace

import pytest
import torch
from seq2seq_pairs import LARGE, PAIRS, ROWS, SMALL, context_of, pair_of
from tiny_seq2seq import tiny_seq2seq
from trained import trained

from semalign.attribution.gradient_x_activation import GradientXActivation
from semalign.attribution.integrated_gradients import IntegratedGradients
from semalign.attribution.kl_probe import KLProbe
from semalign.attribution.occlusion import Occlusion
from semalign.attribution.sensitivity import Sensitivity
from semalign.basis.cosine import Cosine as CosineBasis
from semalign.basis.identity import Identity
from semalign.basis.logit import Logit
from semalign.basis.ridge import Ridge
from semalign.data import batches, encode
from semalign.errors import UserError
from semalign.losses.cka import CKA
from semalign.losses.cosine import Cosine
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.fisher import Fisher
from semalign.losses.kl import ForwardKL
from semalign.losses.mse import MSE
from semalign.losses.uld import ULD
from semalign.methods import Given
from semalign.methods.encoder_decoder import refuse_encoder_decoder
from semalign.methods.gkd import GKD
from semalign.methods.hidden_kd import HiddenKD
from semalign.methods.laten.method import LaTen
from semalign.methods.logit_kd import LogitKD
from semalign.methods.row_teacher import RowTeacher
from semalign.methods.seeking import Seeking
from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.methods.teacher import OnlineTeacher
from semalign.models import lora, unload
from semalign.pairing.depth import Depth
from semalign.pairing.monotone_cka import MonotoneCKA
from semalign.schedules.frontier import Frontier
from semalign.training import TrainingOptions

OPTIONS = TrainingOptions(epochs=6, batch_size=6, learning_rate=0.001)
METHODS = {
    "sft": SFT(),
    "v1": SemAlign(),
    "ridge": SemAlign(
        pairing=Depth(),
        basis=Ridge(),
        site="block_out",
        loss=Cosine(),
        outputs=(CrossEntropy(), ForwardKL()),
        train="all",
    ),
    "logit": SemAlign(basis=Logit(), loss=MSE(), outputs=(CrossEntropy(),), site="block_out", start="principal"),
    "fisher": SemAlign(loss=Fisher(), site="block_out", outputs=(CrossEntropy(),)),
    "identity, cka": SemAlign(
        pairing=MonotoneCKA(site="mlp_out"), basis=Identity(), loss=CKA(), site="block_delta", outputs=(ForwardKL(),)
    ),
    "frontier": SemAlign(
        pairing=Depth(),
        basis=CosineBasis(),
        site="block_out",
        outputs=(CrossEntropy(),),
        schedule=Frontier(cache=False),
    ),
    "logit_kd": LogitKD(),
    "logit_kd, uld": LogitKD(outputs=(CrossEntropy(), ULD())),
    "hidden_kd": HiddenKD(),
}


EVERY_METHOD = ("llama to t5, two tokenizers", "qwen2 to bart", "bart to qwen2, two tokenizers")
COMBINED = [(pair, method) for pair in PAIRS for method in METHODS if pair in EVERY_METHOD or method == "ridge"]


@pytest.mark.parametrize(("pair", "method"), COMBINED)
def test_every_pair_trains_and_the_loss_falls(pair, method, tmp_path):
    teacher, student = pair_of(PAIRS[pair][:2], PAIRS[pair][2])
    method = METHODS[method]
    context, rows = context_of(teacher, student)
    before = {name: p.detach().clone() for name, p in student.module.named_parameters()}
    refuse_encoder_decoder("m", method, teacher, student)
    method.check(teacher, student, OPTIONS.n_step(len(rows)))
    plan = method.plan(context)
    adapter = method.adapt(context, plan, context.lora)
    given = Given(rows={"train": rows}, options=OPTIONS, pad_id=0, folder=tmp_path)
    losses = [entry["loss"] for entry in method.fit(context, plan, adapter, given).entries]
    if not isinstance(getattr(method, "schedule", None), Frontier):  # whose stages have losses of their own
        assert min(losses[1:]) < losses[0]
    assert all(0 <= layer < student.n_layer for layer in plan.layers)
    unload(adapter)
    for name, p in student.module.named_parameters():
        assert torch.equal(p, before[name]), name


@pytest.mark.parametrize("family", ["t5", "t5_gated", "mt5", "bart", "pegasus"])
def test_cross_entropy_is_the_loss_that_transformers_takes_of_the_labels(family):
    """The same shift and the same positions: to 1e-6 in float64, for padded rows of different lengths."""
    tokenizer = copy.deepcopy(trained("byte_level"))
    model = replace(tiny_seq2seq(family, n_row=len(tokenizer)), tokenizer=tokenizer)
    rows = encode(ROWS, tokenizer, template="plain", max_length=60, decoder_start=model.decoder_start)
    batch = next(batches(rows, 6, 0))
    method = SFT()
    adapter = lora(model, [0], rank=2)
    step = method.step(context_of(model, model)[0], method.plan(context_of(model, model)[0]))
    step.eval()
    loss, _, _ = step(batch, step.units(batch))
    labels = [torch.tensor(row.input_ids[1:]) for row in rows]
    with torch.no_grad():
        own = model.module(
            input_ids=batch.encoder.input_ids,
            attention_mask=batch.encoder.attention_mask,
            labels=torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100),
        ).loss
    assert float(loss.detach()) == pytest.approx(float(own), abs=1e-6)
    unload(adapter)


def test_the_teachers_logits_stand_where_it_has_read_the_same_of_the_answer():
    """KL against a decoder-only teacher is that of its own logits on prompt and answer, by hand."""
    teacher, student = pair_of((("llama", LARGE), ("t5", SMALL)))
    context, rows = context_of(teacher, student)
    batch = next(batches(rows, 6, 0))
    tokens = context.tokens
    said = OnlineTeacher(teacher, "block_out", None, tokens.teacher)(batch, [], batch.followed)
    expected = []
    with torch.no_grad():
        for row in rows:
            other = row.teacher.example
            logits = teacher.module(torch.tensor([other.input_ids])).logits[0]
            # the first answer token is predicted after the last token of the prompt, by both
            n_answer = len(row.input_ids) - 1
            assert other.input_ids[other.n_prompt :] == row.input_ids[1:]
            expected.append(logits[other.n_prompt - 1 : other.n_prompt - 1 + n_answer][:, tokens.teacher])
    torch.testing.assert_close(said.logits(slice(None)), torch.cat(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pair", ["llama to t5", "t5 to llama", "bart to t5: begun otherwise", "t5 to t5: read alike"])
def test_what_a_teacher_says_of_a_row_does_not_depend_on_its_batch(pair):
    sides = PAIRS[pair]
    teacher, student = pair_of(sides[:2], sides[2])
    context, rows = context_of(teacher, student)
    plan = METHODS["ridge"].plan(context)
    online = OnlineTeacher(teacher, "block_out", plan.maps, context.tokens.teacher)
    batch = next(batches(rows, 6, 0))
    together = online(batch, plan.pairs, batch.followed)
    alone = RowTeacher(online)(batch, plan.pairs, batch.followed)
    for layer, states in together.states.items():
        torch.testing.assert_close(states[batch.followed], alone.states[layer][batch.followed], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(together.logits(slice(None)), alone.logits(slice(None)), rtol=1e-3, atol=1e-4)


ATTRIBUTIONS = {
    "gradient_x_activation": GradientXActivation(),
    "integrated_gradients": IntegratedGradients(steps=2, baseline="embeddings"),
    "occlusion": Occlusion(),
    "kl_probe": KLProbe(),
    "sensitivity": Sensitivity(),
}


@pytest.mark.parametrize("attribution", ATTRIBUTIONS.values(), ids=ATTRIBUTIONS.keys())
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_decoder_layers_are_attributed_and_padding_makes_no_difference(family, attribution):
    teacher, _ = pair_of(((family, {"n_layer": 3, "width": 24}), ("llama", SMALL)))
    rows = encode(ROWS, teacher.tokenizer, template="plain", max_length=60, decoder_start=teacher.decoder_start)
    together = attribution.score(teacher, list(batches(rows, 6, 0)))
    alone = torch.stack([attribution.score(teacher, [batch]) for batch in batches(rows, 1, 0)]).mean(0)
    assert together.shape == (3,)
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-5)
    assert together.abs().max() > 0


def test_occluding_a_decoder_layer_is_what_a_hook_does():
    teacher, _ = pair_of((("t5", {"n_layer": 3, "width": 24}), ("llama", SMALL)))
    rows = encode(ROWS, teacher.tokenizer, template="plain", max_length=60, decoder_start=teacher.decoder_start)
    found = Occlusion().score(teacher, list(batches(rows, 6, 0)))
    losses = []
    for layer in (None, 1):
        hooks = []
        if layer is not None:
            block = teacher.blocks[layer]
            hooks.append(block.register_forward_hook(lambda _, args, out: (args[0], *out[1:])))
        total = 0.0
        for row in rows:
            with torch.no_grad():
                labels = torch.tensor([row.input_ids[1:]])
                total += float(teacher.module(input_ids=torch.tensor([list(row.encoder)]), labels=labels).loss)
        for hook in hooks:
            hook.remove()
        losses.append(total / len(rows))
    assert float(found[1]) == pytest.approx(losses[1] - losses[0], abs=1e-4)


def refusal(method, sides):
    teacher, student = pair_of(sides)
    with pytest.raises(UserError) as caught:
        refuse_encoder_decoder("mine", method, teacher, student)
    return str(caught.value)


def test_what_makes_no_sense_is_refused_in_one_line():
    to_t5, to_llama = (("llama", LARGE), ("t5", SMALL)), (("t5", LARGE), ("llama", SMALL))
    for method in (GKD(), LaTen()):
        for sides in (to_t5, to_llama):
            assert "works between decoder-only models, but tiny-t5 is an encoder-decoder" in refusal(method, sides)
    for method in (SFT(positions="all"), SemAlign(positions="all"), LogitKD(positions="all")):
        assert "'positions: all' has no effect on an encoder-decoder student" in refusal(method, to_t5)
    kept = SemAlign(pairing=Depth(), schedule=Frontier())
    assert "set 'cache: false' in the schedule" in refusal(kept, to_t5)
    teacher, student = pair_of(to_llama)
    for method in (kept, SemAlign(positions="all")):
        refuse_encoder_decoder("mine", method, teacher, student)


def test_seeking_starts_at_parts_of_a_decoder_only_teachers_weights():
    teacher, student = pair_of((("llama", LARGE | {"num_key_value_heads": 4}), ("t5", SMALL)))
    context, _ = context_of(teacher, student)
    method = Seeking()
    method.check(teacher, student, 9)
    method.check_lora(teacher, student, context.lora)
    plan = method.plan(context)
    assert all(name.startswith("decoder.block.") for name in plan.start)
    adapter = method.adapt(context, plan, context.lora)
    unload(adapter)
