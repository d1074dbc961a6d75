"""PiSSA against PEFT's own, and the training of injected factors: dropout, saving, merging, resuming."""

import copy
import dataclasses

import pytest
import torch
from pair import PAD, STUDENT, make_context, make_examples, make_model
from peft import LoraConfig, get_peft_model

from semalign.errors import UserError
from semalign.losses.cosine import Cosine
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.kl import ForwardKL
from semalign.methods import Given
from semalign.methods.logit_kd import LogitKD
from semalign.methods.pissa import PiSSA
from semalign.methods.seeking import Seeking
from semalign.methods.semalign import SemAlign
from semalign.models import assemble, load_adapter, merge, save_adapter, unload
from semalign.pairing.one_per_layer import OnePerLayer
from semalign.schedules.frontier import Frontier
from semalign.training import LoraOptions, TrainingOptions, train

LORA = LoraOptions(rank=3, alpha=3, dropout=0.0)
TRAINING = TrainingOptions(epochs=2, batch_size=4, learning_rate=0.01, checkpoint_every=2, lora=LORA)
ROWS = make_examples(8)
IDS = torch.tensor([row.input_ids[:5] for row in make_examples(6)])
MODULES = {"up_proj", "down_proj", "v_proj", "o_proj"}
ALIGNED = SemAlign(start="principal", train="all", outputs=(CrossEntropy(),))
FOLLOWING = LogitKD(start="principal", outputs=(CrossEntropy(), ForwardKL(weight=1e-30)))
EACH = [Seeking(), PiSSA(), ALIGNED, FOLLOWING]
each_method = pytest.mark.parametrize("method", EACH, ids=lambda method: method.name)


def given(folder, **changes):
    return Given(rows={"train": ROWS}, options=TRAINING, pad_id=PAD, folder=folder, **changes)


def context_of(dtype=torch.float64, options=LORA):
    return dataclasses.replace(make_context(student=make_model(**STUDENT, dtype=dtype)), lora=options)


def trained(method, context, folder):
    plan = method.plan(context)
    adapter = method.adapt(context, plan, context.lora)
    history = method.fit(context, plan, adapter, given(folder))
    return adapter, history


def test_a_training_is_that_of_pefts_pissa(tmp_path):
    context = context_of(torch.float32)  # PEFT's needs float32
    student = context.student
    config = LoraConfig(
        r=3, lora_alpha=3, target_modules=list(MODULES), init_lora_weights="pissa", task_type="CAUSAL_LM"
    )
    theirs = get_peft_model(copy.deepcopy(student.module), config)
    reference = dataclasses.replace(context, student=assemble("peft", theirs.get_base_model(), student.tokenizer))
    step = PiSSA().step(reference, PiSSA().plan(context))
    history = train(step, ROWS, TRAINING, pad_id=PAD, seed=0, folder=tmp_path / "theirs")
    ours, our_history = trained(PiSSA(), context, tmp_path / "ours")
    assert [e["loss"] for e in our_history.entries] == pytest.approx([e["loss"] for e in history.entries], rel=1e-5)
    assert our_history.n_trainable == history.n_trainable
    moved = {name: value.clone() for name, value in student.module.state_dict().items() if "base_layer" in name}
    found, expected = merge(ours).state_dict(), merge(theirs).state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():  # Adam's first steps turn rounding into learning_rate times itself
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-4)
    largest = max(float((found[name.replace(".base_layer", "")] - value).abs().max()) for name, value in moved.items())
    assert largest > 0.01


def test_alignment_from_the_principal_part_without_weight_is_pissa(tmp_path):
    losses = {}
    for method in (PiSSA(), ALIGNED.replace(loss=Cosine(weight=1e-30)), FOLLOWING):
        history = trained(method, context_of(), tmp_path / method.name)[1]
        losses[method.name] = [entry["terms"]["cross_entropy"] for entry in history.entries]
    assert losses["semalign"] == pytest.approx(losses["pissa"], rel=1e-9)
    assert losses["logit_kd"] == pytest.approx(losses["pissa"], rel=1e-9)
    assert losses["pissa"][-1] < losses["pissa"][0]


def test_a_start_at_the_principal_part_trains_all_layers_at_once():
    with pytest.raises(UserError, match="'start: principal' needs all layers at once"):
        SemAlign(start="principal", schedule=Frontier(), pairing=OnePerLayer())


@each_method
def test_saved_loaded_and_merged_it_is_the_trained_student(method, tmp_path):
    context = context_of()
    before = {name: value.clone() for name, value in context.student.module.state_dict().items()}
    untouched = context.student.module(IDS).logits
    adapter, history = trained(method, context, tmp_path / "train")
    expected = adapter.eval()(IDS).logits
    assert (expected - untouched).abs().max() > 0.01
    save_adapter(adapter, tmp_path / "adapter")
    torch.testing.assert_close(merge(adapter)(IDS).logits, expected, rtol=0, atol=1e-10)
    module = unload(adapter)
    assert module.state_dict().keys() == before.keys()
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())
    again = load_adapter(context.student, tmp_path / "adapter").eval()
    torch.testing.assert_close(again(IDS).logits, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(merge(again)(IDS).logits, expected, rtol=0, atol=1e-10)
    assert history.n_trainable == sum(3 * sum(matrix) for matrix in [(28, 16), (16, 28), (8, 16), (16, 16)]) * 3


@each_method
def test_the_adapter_on_disk_is_a_plain_one_of_twice_the_rank(method, tmp_path):
    adapter, _ = trained(method, context_of(), tmp_path / "train")
    save_adapter(adapter, tmp_path / "adapter")
    assert not [path for path in (tmp_path / "adapter").iterdir() if path.is_dir()]
    config = LoraConfig.from_pretrained(tmp_path / "adapter")
    assert (config.r, config.lora_alpha) == (6, 6)


@each_method
def test_a_student_in_bfloat16_keeps_its_factors_in_float32(method, tmp_path):
    """B A - B0 A0 is a small difference of large products."""
    context = context_of(torch.bfloat16)
    adapter, _ = trained(method, context, tmp_path / "train")
    assert {p.dtype for name, p in adapter.named_parameters() if "lora_" in name} == {torch.float32}
    save_adapter(adapter, tmp_path / "adapter")
    expected = {name: p.clone() for name, p in adapter.named_parameters() if "lora_" in name}
    unload(adapter)
    again = dict(load_adapter(context.student, tmp_path / "adapter").named_parameters())
    assert all(torch.equal(again[name], value) for name, value in expected.items())


@each_method
def test_a_stopped_training_goes_on_to_the_same_student(method, tmp_path):
    expected, _ = trained(method, context_of(), tmp_path / "whole")

    def stop(done):
        if done == 3:
            raise KeyboardInterrupt

    context = context_of()
    plan = method.plan(context)
    plan.save(tmp_path / "plan")
    adapter = method.adapt(context, plan, LORA)
    with pytest.raises(KeyboardInterrupt):
        method.fit(context, plan, adapter, given(tmp_path / "parts", advance=stop))
    fresh, again = context_of(), type(plan).load(tmp_path / "plan")
    adapter = method.adapt(fresh, again, LORA)
    history = method.fit(fresh, again, adapter, given(tmp_path / "parts"))
    assert history.n_step == len(history.entries) == 4
    assert torch.equal(adapter.eval()(IDS).logits, expected.eval()(IDS).logits)


@each_method
def test_dropout_meets_the_trained_factors_alone(method):
    context = context_of(options=LoraOptions(rank=3, alpha=3, dropout=0.5))
    plan = method.plan(context)
    method.adapt(context, plan, context.lora).train()
    module = context.student.blocks[1].mlp.up_proj
    h = torch.randn(5, 16, dtype=torch.float64)
    first = plan.start["model.layers.1.mlp.up_proj.lora_B"] @ plan.start["model.layers.1.mlp.up_proj.lora_A"]
    torch.manual_seed(4)
    out = module(h)
    torch.manual_seed(4)
    dropped = torch.nn.functional.dropout(h, 0.5)
    expected = h @ (module.base_layer.weight - first).T + dropped @ first.T
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    assert not torch.allclose(out, h @ module.base_layer.weight.T, atol=1e-2)
