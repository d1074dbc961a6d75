"""Float64 loss curves on file, and version 1 of the method written out again from its formulas.

A change that should not alter numbers keeps these; one that should writes them again:
`python tests/golden/regenerate.py`.
"""

import json
from pathlib import Path

import pytest
import torch
from curves import CURVES, curve
from pair import N_ROW, PAD, adapted_step, make_context, make_examples, trainable

from semalign.data import collate
from semalign.methods.semalign import SemAlign

HERE = Path(__file__).parent


def flat(value, place=""):
    """Every number of a nested value by its place."""
    if isinstance(value, dict):
        return {k: v for name, inner in value.items() for k, v in flat(inner, f"{place}/{name}").items()}
    if isinstance(value, list):
        return {k: v for i, inner in enumerate(value) for k, v in flat(inner, f"{place}/{i}").items()}
    return {place: value}


@pytest.mark.parametrize("name", CURVES)
def test_the_loss_curve_is_the_one_on_file(name, tmp_path):
    on_file = json.loads((HERE / f"{name}.json").read_text("utf-8"))
    assert flat(curve(name, tmp_path)) == pytest.approx(flat(on_file), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", CURVES)
def test_the_curve_on_file_goes_down(name):
    losses = [step["loss"] for step in json.loads((HERE / f"{name}.json").read_text("utf-8"))]
    assert sum(losses[-3:]) < sum(losses[:3])


def semantic_map(teacher, student):
    """M = S_S^T S_T with S = rows of pinv(W^T) at unit length; the library stores it in float32."""
    bases = []
    for model in (teacher, student):
        w = model.module.lm_head.weight.detach()
        gram = w.T @ w
        gram += 1e-6 * gram.diagonal().mean() * torch.eye(w.shape[1], dtype=w.dtype)
        basis = w @ torch.linalg.inv(gram)
        bases.append(basis / basis.norm(dim=1, keepdim=True))
    return (bases[1].T @ bases[0]).float().double()


def mlp_output(module, layer, batch):
    """Logits, and what the MLP of a layer adds to the residual stream."""
    heard = []
    block = next(part for name, part in module.named_modules() if name.endswith(f"layers.{layer}.mlp"))
    handle = block.register_forward_hook(lambda _module, _inputs, output: heard.append(output))
    logits = module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    handle.remove()
    return logits, heard[0]


def version_one(teacher, student, pair, batch):
    """L = [1 - mean cos(h_S, M h_T / |h_T|)] + [1 - mean z_y / |z|] over positions whose next token is the answer's."""
    teacher_layer, student_layer = pair
    with torch.no_grad():
        _, h_t = mlp_output(teacher.module, teacher_layer, batch)
    logits, h_s = mlp_output(student.module, student_layer, batch)
    m = semantic_map(teacher, student)
    latent, output = [], []
    for b, n in enumerate(batch.attention_mask.sum(1).tolist()):
        for t in range(n - 1):
            if not batch.mask[b, t]:
                continue
            target, h, z = m @ (h_t[b, t] / h_t[b, t].norm()), h_s[b, t], logits[b, t]
            latent.append(1 - h @ target / (h.norm() * target.norm()))
            output.append(1 - z[batch.input_ids[b, t + 1]] / z.norm())
    return torch.stack(latent).mean() + torch.stack(output).mean()


def test_version_one_written_out_gives_the_same_loss_and_gradients():
    context = make_context()
    _, plan, step = adapted_step(SemAlign(), context)
    (pair,) = plan.pairs
    batch = collate(make_examples(6), PAD)
    loss, _, _ = step(batch, step.units(batch))
    parameters = trainable(step)
    ours = torch.autograd.grad(loss, list(parameters.values()))
    expected = version_one(context.teacher, context.student, (pair.teacher[0][0], pair.student), batch)
    theirs = torch.autograd.grad(expected, list(parameters.values()))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-10)
    for name, a, b in zip(parameters, ours, theirs, strict=True):
        assert a.abs().max() > 0, name
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10, msg=name)


def test_the_first_step_on_file_is_the_formula():
    """The curve's first batch: six rows of fourteen in the order of seed 0, epoch 0."""
    from curves import OPTIONS

    from semalign.training.loop import batch_plan

    context = make_context()
    _, plan, _ = adapted_step(SemAlign(), context)
    rows = make_examples(14)
    batch = collate([rows[i] for i in batch_plan(14, OPTIONS, 0)[0]], PAD)
    pair = (plan.pairs[0].teacher[0][0], plan.pairs[0].student)
    on_file = json.loads((HERE / "semalign.json").read_text("utf-8"))[0]["loss"]
    assert version_one(context.teacher, context.student, pair, batch).item() == pytest.approx(on_file, abs=1e-10)


def test_the_models_of_the_curve_are_no_other_than_they_were():
    """A formula in integers: these four numbers are the same on every machine."""
    weight = make_context().teacher.module.lm_head.weight
    assert weight.shape[0] == N_ROW
    assert weight[0, :4].tolist() == pytest.approx(json.loads((HERE / "weights.json").read_text("utf-8")), abs=1e-15)
