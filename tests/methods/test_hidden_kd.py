"""Hidden-state distillation: gradients of a plain loop, projectors that learn and are left behind, exact resuming."""

import pytest
import torch
from pair import PAD, STUDENT, TEACHER, adapted_step, make_context, make_examples, make_model, trainable
from torch.nn.functional import cosine_similarity, log_softmax

from semalign.artifacts import read_tensors
from semalign.data import collate
from semalign.errors import UserError
from semalign.losses.cosine import Cosine
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.geometry import Geometry
from semalign.losses.kl import ForwardKL
from semalign.losses.mse import MSE
from semalign.methods.hidden_kd import HiddenKD
from semalign.models import save_adapter, unload
from semalign.pairing.critical import Critical
from semalign.pairing.depth import Depth
from semalign.pairing.manual import Manual
from semalign.pairing.monotone_cka import MonotoneCKA
from semalign.training import TrainingOptions, train

OPTIONS = TrainingOptions(epochs=3, batch_size=4, micro_batch_size=3, learning_rate=0.02, checkpoint_every=1)
ROWS = make_examples(7)


def of_projectors(step):
    return {name: p for name, p in trainable(step).items() if name.startswith("projectors.")}


def trained(method, folder, *, context=None, dropout=0.0, advance=lambda _done: None):
    context = context or make_context()
    adapter, _, step = adapted_step(method, context, dropout=dropout)
    before = {name: p.detach().clone() for name, p in trainable(step).items()}
    history = train(step, ROWS, OPTIONS, pad_id=PAD, seed=2, folder=folder, advance=advance)
    return adapter, step, before, history


def block_outputs(model, ids):
    """The state after each block and the logits, with a plain forward of one row."""
    states = {}
    hooks = [
        block.register_forward_hook(lambda _m, _a, output, i=i: states.__setitem__(i, output))
        for i, block in enumerate(model.module.get_submodule("model.layers"))
    ]
    logits = model.module(ids).logits[0]
    for hook in hooks:
        hook.remove()
    return {i: (s[0] if isinstance(s, tuple) else s)[0] for i, s in states.items()}, logits


@pytest.mark.parametrize("loss", [Cosine(weight=0.5), MSE(weight=0.3)], ids=["cosine", "mse"])
@pytest.mark.parametrize("pairing", [Depth(), Manual(pairs=((0, 4), (2, 1)))], ids=["depth", "manual"])
def test_the_gradient_is_that_of_a_plain_loop(loss, pairing):
    """Mean over answer tokens and pairs of the projected state's distance, beside 1/4 cross-entropy and 1/4 KL at 2."""
    context = make_context()
    _, plan, step = adapted_step(HiddenKD(loss=loss, pairing=pairing), context)
    batch = collate(ROWS, PAD)
    value, totals, _ = step(batch, step.units(batch))
    value.backward()
    found = {name: p.grad.clone() for name, p in trainable(step).items()}
    output, hidden = [], []
    for row in ROWS:
        ids = torch.tensor([row.input_ids])
        ours, student = block_outputs(context.student, ids)
        with torch.no_grad():
            theirs, teacher = block_outputs(context.teacher, ids)
        for pos in range(row.n_prompt - 1, len(row.input_ids) - 1):
            t, s = log_softmax(teacher[pos] / 2, -1), log_softmax(student[pos] / 2, -1)
            gold = log_softmax(student[pos], -1)[row.input_ids[pos + 1]]
            output.append((4 * (t.exp() * (t - s)).sum() - gold) / 4)
            for pair in plan.pairs:
                ((layer, _),) = pair.teacher
                target = theirs[layer][pos]
                state = step.projectors[str(pair.student)].weight @ ours[pair.student][pos]
                if loss.name == "cosine":
                    hidden.append(1 - cosine_similarity(state, target, dim=0))
                else:
                    hidden.append((state - target).square().sum() / target.square().sum())
    expected = torch.stack(output).mean() + loss.weight * torch.stack(hidden).mean()
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)
    assert totals.keys() == {f"latent_{loss.name}", "cross_entropy", "kl"}
    gradients = torch.autograd.grad(expected, list(trainable(step).values()))
    for (name, gradient), plain in zip(found.items(), gradients, strict=True):
        assert plain.abs().max() > 0, name
        torch.testing.assert_close(gradient, plain, rtol=1e-8, atol=1e-12)


def test_projectors_learn_with_the_adapters_and_count(tmp_path):
    _, step, before, history = trained(HiddenKD(), tmp_path)
    assert {tuple(p.shape) for p in of_projectors(step).values()} == {(TEACHER["width"], STUDENT["width"])}
    assert len(of_projectors(step)) == STUDENT["n_layer"]
    after = trainable(step)
    assert all((before[name] != after[name]).any() for name in before)
    adapters = sum(p.numel() for name, p in after.items() if "lora_" in name)
    assert history.n_trainable == adapters + STUDENT["n_layer"] * TEACHER["width"] * STUDENT["width"]
    cosines = [sum(entry["cosine"].values()) for entry in (history.entries[0], history.entries[-1])]
    assert cosines[1] > cosines[0] + 0.1


def test_nothing_of_a_projector_is_left_behind(tmp_path):
    context = make_context()
    before = {name: p.detach().clone() for name, p in context.student.module.named_parameters()}
    adapter, _, _, _ = trained(HiddenKD(), tmp_path / "train", context=context)
    save_adapter(adapter, tmp_path / "adapter")
    stored = read_tensors(tmp_path / "adapter" / "adapter_model.safetensors")
    assert stored
    assert all("lora_" in name for name in stored)
    module = unload(adapter)
    assert dict(module.named_parameters()).keys() == before.keys()
    assert all(torch.equal(p, before[name]) for name, p in module.named_parameters())


def test_a_training_killed_goes_on_to_the_same_bits(tmp_path):
    class Killed(Exception):
        pass

    def kill(done):
        if done == 3:
            raise Killed

    _, step, _, whole = trained(HiddenKD(), tmp_path / "whole", dropout=0.2)
    with pytest.raises(Killed):
        trained(HiddenKD(), tmp_path / "killed", dropout=0.2, advance=kill)
    context = make_context(seed=5)  # other first values of the projectors: those of the checkpoint count
    _, again, _, history = trained(HiddenKD(), tmp_path / "killed", context=context, dropout=0.2)
    assert [entry["loss"] for entry in history.entries] == [entry["loss"] for entry in whole.entries]
    for name, p in trainable(step).items():
        assert torch.equal(trainable(again)[name], p), name


def test_first_values_depend_on_the_seed_alone():
    steps = []
    for seed in (0, 0, 1):
        context, method = make_context(seed=seed), HiddenKD()
        _, plan, _ = adapted_step(method, context)
        torch.rand(len(steps) + 1)
        state = torch.get_rng_state()
        steps.append(of_projectors(method.step(context, plan)))
        assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(steps[0][name], steps[1][name]) for name in steps[0])
    assert not any(torch.equal(steps[0][name], steps[2][name]) for name in steps[0])
    first = next(iter(steps[0].values()))
    bound = (6 / sum(first.shape)) ** 0.5  # Xavier
    assert 0.9 * bound < first.abs().max() <= bound


def test_models_of_one_width_need_no_projector():
    teacher = make_model(**(STUDENT | {"n_layer": 5, "stream": 4}))
    context = make_context(teacher=teacher)
    _, _, step = adapted_step(HiddenKD(outputs=(), pairing=Manual(pairs=((1, 2),))), context)
    assert not of_projectors(step)
    row = ROWS[2]
    value, _, _ = step(collate([row], PAD), step.units(collate([row], PAD)))
    ids = torch.tensor([row.input_ids])
    state, target = block_outputs(context.student, ids)[0][1], block_outputs(teacher, ids)[0][2]
    here = slice(row.n_prompt - 1, len(row.input_ids) - 1)
    torch.testing.assert_close(
        value, (1 - cosine_similarity(state[here], target[here])).mean() * 0.5, rtol=1e-10, atol=0
    )


@pytest.mark.parametrize("pairing", [Critical(count=2), MonotoneCKA(), Depth(interpolate=True)], ids=lambda p: p.name)
def test_pairings_that_measure_or_mix_layers_work_too(pairing):
    context = make_context()
    method = HiddenKD(pairing=pairing, site="mlp_out", outputs=(CrossEntropy(),))
    method.check(context.teacher, context.student, 3)
    _, plan, step = adapted_step(method, context)
    assert (plan.scores is not None) == pairing.uses_attribution
    batch = collate(ROWS, PAD)
    value, _, cosines = step(batch, step.units(batch))
    value.backward()
    assert value.isfinite()
    assert len(of_projectors(step)) == len(cosines) == len(plan.pairs)
    assert all(p.grad.abs().max() > 0 for p in of_projectors(step).values())


def test_what_cannot_work_is_refused():
    with pytest.raises(UserError, match="but 'geometry' does not; use cosine or mse"):
        HiddenKD(loss=Geometry())
    with pytest.raises(UserError, match="but 'kl' does not; use cosine or mse"):
        HiddenKD(loss=ForwardKL())
    with pytest.raises(UserError, match="'mse' compares states"):
        HiddenKD(outputs=(MSE(),))
    with pytest.raises(UserError, match="site 'final' belongs to no layer"):
        HiddenKD(site="final")
    context = make_context()
    with pytest.raises(UserError, match="teacher layer 5 does not exist"):
        HiddenKD(pairing=Manual(pairs=((0, 5),))).check(context.teacher, context.student, 3)
    with pytest.raises(UserError, match="'top_k' is 99"):
        HiddenKD(outputs=(ForwardKL(top_k=99),)).check(context.teacher, context.student, 3)
