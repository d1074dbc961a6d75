"""Gradients and hooks only where meant: what a method trains, what it must not touch, and what it leaves behind."""

import pytest
import torch
from pair import PAD, STUDENT, TEACHER, adapted_step, make_context, make_examples, make_model, trainable

from semalign.artifacts import read_tensors
from semalign.basis.identity import Identity
from semalign.data import collate
from semalign.losses.cka import CKA
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.fisher import Fisher
from semalign.losses.geometry import Geometry
from semalign.losses.kl import ForwardKL
from semalign.losses.mse import MSE
from semalign.losses.procrustes import Procrustes
from semalign.methods.gkd import GKD
from semalign.methods.hidden_kd import HiddenKD
from semalign.methods.logit_kd import LogitKD
from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.models import unload
from semalign.pairing.depth import Depth
from semalign.pairing.manual import Manual
from semalign.pairing.monotone_cka import MonotoneCKA
from semalign.schedules.frontier import Frontier
from semalign.strategy import available
from semalign.training import TrainingOptions, train

OPTIONS = TrainingOptions(epochs=2, batch_size=4, learning_rate=0.05)
VARIANTS = {
    "semalign": SemAlign(),
    "semalign attn_out": SemAlign(site="attn_out"),
    "semalign block_out": SemAlign(site="block_out", pairing=Depth()),
    "semalign block_delta": SemAlign(site="block_delta", pairing=Depth(interpolate=True)),
    "semalign all layers": SemAlign(pairing=Manual(pairs=((1, 3),)), train="all"),
    "semalign kl": SemAlign(outputs=(CrossEntropy(), ForwardKL(weight=0.5))),
    "semalign fisher": SemAlign(site="block_out", loss=Fisher(), pairing=Depth(), outputs=(ForwardKL(),)),
    "semalign geometry": SemAlign(site="block_delta", loss=Geometry(), pairing=Depth(), basis=Identity()),
    "semalign mse": SemAlign(site="block_out", loss=MSE(), pairing=Depth(), norm="teacher"),
    "semalign procrustes": SemAlign(loss=Procrustes(), pairing=Depth(), norm="student"),
    "semalign frontier": SemAlign(loss=CKA(), pairing=Depth(), schedule=Frontier()),
    "logit_kd": LogitKD(),
    "hidden_kd": HiddenKD(),
    "gkd": GKD(on_policy=1.0),
    "sft": SFT(),
    "sft two layers": SFT(layers=(2, 0)),
}
each_variant = pytest.mark.parametrize("method", VARIANTS.values(), ids=VARIANTS.keys())


def hooks(module):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, kind)) for part in module.modules() for kind in kinds)


def kept(module):
    """Every weight by the object that holds it, with a copy of its value."""
    return {name: (parameter, parameter.detach().clone()) for name, parameter in module.named_parameters()}


def layer_of(name):
    return int(name.partition(".layers.")[2].partition(".")[0])


def gradients(step, batch):
    loss, _, _ = step(batch, step.units(batch))
    loss.backward()
    return {name: p.grad for name, p in trainable(step).items()}


def test_a_variant_of_every_method_is_tested():
    assert {method.name for method in VARIANTS.values()} >= set(available("method")) & {"semalign", "sft"}


@each_variant
def test_steps_change_the_adapters_of_the_planned_layers_and_nothing_else(method, tmp_path):
    context = make_context()
    frozen = {**kept(context.student.module), **{f"t.{k}": v for k, v in kept(context.teacher.module).items()}}
    _, plan, step = adapted_step(method, context)
    before = {name: p.detach().clone() for name, p in trainable(step).items()}
    train(step, make_examples(8), OPTIONS, pad_id=PAD, seed=0, folder=tmp_path)
    changed = {name for name, p in trainable(step).items() if not torch.equal(p, before[name])}
    assert changed == set(before)
    adapters = [name for name in before if not name.startswith("projectors.")]
    assert all("lora_" in name for name in adapters)
    assert {layer_of(name) for name in adapters} == set(plan.layers)
    moved = [name for name, (parameter, value) in frozen.items() if not torch.equal(parameter, value)]
    assert moved == []


@each_variant
def test_the_teacher_gets_no_gradient_and_no_hook_stays(method, tmp_path):
    context = make_context()
    _, _, step = adapted_step(method, context)
    train(step, make_examples(8), OPTIONS, pad_id=PAD, seed=0, folder=tmp_path)
    assert all(p.grad is None for p in context.teacher.module.parameters())
    assert hooks(context.teacher.module) == hooks(context.student.module) == 0
    assert not context.teacher.module.training
    assert not any("teacher" in name for name, _ in step.named_parameters())


@each_variant
def test_a_forward_that_fails_leaves_no_hook(method, monkeypatch):
    context = make_context()
    _, _, step = adapted_step(method, context)
    batch = collate(make_examples(3), PAD)
    monkeypatch.setattr(context.student.module.get_submodule("model.norm"), "forward", lambda _x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        step(batch, step.units(batch))
    assert hooks(context.teacher.module) == hooks(context.student.module) == 0


@each_variant
def test_unload_gives_the_exact_student_back(method, tmp_path):
    context = make_context()
    module = context.student.module
    before, names = {k: v.clone() for k, v in module.state_dict().items()}, list(module.state_dict())
    adapter, _, step = adapted_step(method, context)
    train(step, make_examples(8), OPTIONS, pad_id=PAD, seed=0, folder=tmp_path)
    assert unload(adapter) is module
    assert list(module.state_dict()) == names
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("method", [SFT(layers=(1,)), SFT(layers=(2,)), SemAlign(pairing=Manual(pairs=((1, 3),)))])
def test_the_backward_pass_stops_at_the_lowest_trained_layer(method):
    context = make_context()
    _, plan, step = adapted_step(method, context)
    in_graph = {}
    for layer, block in enumerate(context.student.blocks):
        block.register_forward_hook(
            lambda _module, _inputs, output, layer=layer: in_graph.update({layer: output.requires_grad})
        )
    batch = collate(make_examples(3), PAD)
    step(batch, step.units(batch))
    assert in_graph == {layer: layer >= min(plan.layers) for layer in range(STUDENT["n_layer"])}


def test_version_one_trains_the_paired_layer_only():
    context = make_context()
    plan = SemAlign().plan(context)
    assert len(plan.pairs) == 1
    assert plan.layers == (plan.pairs[0].student,)


def test_the_latent_term_reaches_no_adapter_above_its_layer():
    method = SemAlign(pairing=Manual(pairs=((1, 3),)), train="all", outputs=())
    _, _, step = adapted_step(method, make_context())
    found = gradients(step, collate(make_examples(4), PAD))
    assert {layer_of(name) for name in found} == {0, 1, 2}
    for name, gradient in found.items():
        if layer_of(name) < 2:
            assert gradient.abs().max() > 0, name
        else:
            assert gradient is None or not gradient.any(), name


def test_the_latent_term_at_the_attention_output_does_not_see_the_mlp_of_its_layer():
    method = SemAlign(pairing=Manual(pairs=((1, 3),)), site="attn_out", outputs=())
    _, _, step = adapted_step(method, make_context())
    for name, gradient in gradients(step, collate(make_examples(4), PAD)).items():
        assert (gradient is not None and bool(gradient.any())) == (".self_attn." in name), name


def test_measuring_the_terms_gradients_changes_neither_gradients_nor_random_numbers():
    _, _, step = adapted_step(SemAlign(), make_context(), dropout=0.4)
    step.train()
    batch = collate(make_examples(4), PAD)
    state = torch.get_rng_state()
    norms = step.gradient_norms(batch, step.units(batch))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in step.parameters())
    assert norms.keys() == {"latent_cosine", "onehot_cosine"}


def test_the_measured_norms_are_those_of_each_term_alone():
    context = make_context()
    pairing = Manual(pairs=((1, 3),))
    _, _, step = adapted_step(SemAlign(pairing=pairing), context)
    batch = collate(make_examples(4), PAD)
    norms = step.gradient_norms(batch, step.units(batch))
    alone = SemAlign(pairing=pairing, outputs=()).step(context, SemAlign(pairing=pairing).plan(context))
    found = [g for g in gradients(alone, batch).values() if g is not None]
    assert norms["latent_cosine"] == pytest.approx(float(torch.cat([g.flatten() for g in found]).norm()), rel=1e-12)


def test_a_latent_term_that_no_adapter_can_change_is_refused():
    from semalign.errors import UserError
    from semalign.models import lora

    context, method = make_context(), SemAlign(pairing=Manual(pairs=((0, 3),)), site="attn_out")
    plan = method.plan(context)
    lora(context.student, plan.layers, roles=["up", "down"])
    step, batch = method.step(context, plan), collate(make_examples(4), PAD)
    with pytest.raises(UserError, match=r"^the loss term 'latent_cosine' does not depend on any adapter"):
        step.gradient_norms(batch, step.units(batch))


def test_the_plan_comes_back_from_disk_as_it_was(tmp_path):
    plan = SemAlign().plan(make_context())
    plan.save(tmp_path / "plan")
    again = type(plan).load(tmp_path / "plan")
    assert (again.layers, again.scores, again.pairs, again.quality) == (
        plan.layers,
        plan.scores,
        plan.pairs,
        plan.quality,
    )
    assert again.maps.keys() == plan.maps.keys() == {pair.student for pair in plan.pairs}
    for layer, semantic_map in plan.maps.items():
        assert again.maps[layer].about() == semantic_map.about()
        for name, tensor in semantic_map.tensors().items():
            assert torch.equal(again.maps[layer].tensors()[name], tensor)


def test_a_map_that_pairs_share_is_written_once(tmp_path):
    plan = SemAlign(pairing=Depth(), train="all").plan(make_context())
    plan.save(tmp_path / "plan")
    assert len(set(map(id, type(plan).load(tmp_path / "plan").maps.values()))) == 1
    assert len(read_tensors(tmp_path / "plan" / "maps.safetensors")) == 1


def test_a_plan_without_a_map_comes_back_from_disk(tmp_path):
    plan = SFT(layers=(2, 0, 2)).plan(make_context())
    plan.save(tmp_path / "plan")
    again = type(plan).load(tmp_path / "plan")
    assert (again.layers, again.scores, again.pairs, again.maps) == ((0, 2), None, (), {})


@pytest.mark.parametrize("n_teacher", [1, 2, 3, 7])
def test_the_method_works_whichever_model_is_deeper(n_teacher):
    context = make_context(teacher=make_model(**(TEACHER | {"n_layer": n_teacher})))
    _, plan, step = adapted_step(SemAlign(pairing=Depth()), context)
    batch = collate(make_examples(3), PAD)
    loss, _, cosines = step(batch, step.units(batch))
    assert torch.isfinite(loss)
    assert len(cosines) == len(plan.pairs) == STUDENT["n_layer"]


def test_similarity_is_measured_where_the_pairing_says():
    """The pairs of a path over MLP outputs are those of a method at that site, whatever states it aligns."""
    context = make_context()
    path = SemAlign(pairing=MonotoneCKA(site="mlp_out"), site="block_out").plan(context).pairs
    assert path == SemAlign(pairing=MonotoneCKA(), site="mlp_out").plan(context).pairs
    assert path != SemAlign(pairing=MonotoneCKA(), site="block_out").plan(context).pairs
