"""SEEKING: what is injected, that the student starts unchanged, and what is refused."""

import copy
import dataclasses

import numpy
import pytest
import torch
from pair import STUDENT, TEACHER, make_context, make_examples, make_model
from tiny import tiny

from semalign.attribution import Attribution
from semalign.attribution.random import Random
from semalign.errors import UserError
from semalign.methods.injected import student_matrices
from semalign.methods.pissa import PiSSA
from semalign.methods.seeking import Seeking
from semalign.models import assemble, lora, unload
from semalign.models.weights import layer_weights
from semalign.training import LoraOptions

OPTIONS = LoraOptions(rank=3, alpha=3, dropout=0.0)
KINDS = ("window", "rows_columns", "single_weights", "random_window")
EVERY = {f"seeking, {kind}": Seeking(submatrix=kind) for kind in KINDS} | {"pissa": PiSSA()}
each_method = pytest.mark.parametrize("method", EVERY.values(), ids=EVERY)
IDS = torch.tensor([row.input_ids[:5] for row in make_examples(6)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known(Attribution):
    """Scores that the test knows."""

    scores: tuple[float, ...]
    name = "known"

    def score(self, model, batches):
        return torch.tensor(self.scores, dtype=torch.float64)


def context_of(options=OPTIONS, **models):
    return dataclasses.replace(make_context(**models), lora=options)


def start(method, context):
    """The plan, and the adapters it starts with."""
    plan = method.plan(context)
    return plan, method.adapt(context, plan, context.lora)


def product(plan, path):
    return plan.start[f"{path}.lora_B"] @ plan.start[f"{path}.lora_A"]


@each_method
def test_the_student_starts_unchanged(method):
    context = context_of()
    before = context.student.module(IDS).logits
    _, adapter = start(method, context)
    torch.testing.assert_close(adapter.eval()(IDS).logits, before, rtol=0, atol=1e-12)
    adapter.base_model.set_adapter("trained")
    assert (adapter(IDS).logits - before).abs().max() > 0.1


@each_method
def test_as_much_is_trained_as_in_lora(method):
    context = context_of()
    _, adapter = start(method, context)
    shapes = sorted(tuple(p.shape) for p in adapter.parameters() if p.requires_grad)
    unload(adapter)
    plain = lora(context.student, [0, 1, 2], **OPTIONS.model_dump())
    assert shapes == sorted(tuple(p.shape) for p in plain.parameters() if p.requires_grad)


@each_method
def test_the_student_comes_back_to_the_bit(method):
    context = context_of()
    before = {name: value.clone() for name, value in context.student.module.state_dict().items()}
    _, adapter = start(method, context)
    assert unload(adapter) is context.student.module
    after = context.student.module.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@each_method
def test_the_plan_comes_back_from_disk_as_it_was(method, tmp_path):
    plan = method.plan(context_of())
    plan.save(tmp_path / "plan")
    again = type(plan).load(tmp_path / "plan")
    assert (again.layers, again.scores, again.pairs) == (plan.layers, plan.scores, plan.pairs)
    assert again.start.keys() == plan.start.keys()
    assert all(torch.equal(again.start[name], value) for name, value in plan.start.items())


def test_the_highest_layers_follow_each_other_in_depth():
    pairs = Seeking(attribution=Known(scores=(0.2, 2.0, 0.1, 3.0, 2.5))).plan(context_of()).pairs
    assert [(pair.student, pair.teacher) for pair in pairs] == [(0, ((1, 1.0),)), (1, ((3, 1.0),)), (2, ((4, 1.0),))]
    assert pairs[0].reason == "number 3 of 5 by known, number 1 of the chosen by depth"
    tied = Seeking(attribution=Known(scores=(1.0,) * 5)).plan(context_of()).pairs
    assert [pair.teacher[0][0] for pair in tied] == [0, 1, 2]


def test_random_layers_are_drawn_from_the_runs_seed():
    method = Seeking(attribution=Random(), submatrix="random_window")
    contexts = [dataclasses.replace(context_of(), seed=seed) for seed in (0, 0, 1, 2)]
    chosen = [[pair.label for pair in method.plan(context).pairs] for context in contexts]
    assert chosen[0] == chosen[1]
    assert len({tuple(labels) for labels in chosen}) > 1
    windows = [[found["corner"] for found in method.plan(context).quality["extracts"]] for context in contexts]
    assert windows[0] == windows[1] != windows[2]


def test_what_is_injected_is_the_low_rank_part_of_the_most_sensitive_window():
    context = context_of()
    plan = Seeking().plan(context)
    extracts = {found["module"]: found for found in plan.quality["extracts"]}
    assert len(extracts) == 3 * 4
    for pair in plan.pairs:
        path = f"model.layers.{pair.student}.mlp.up_proj"
        row, column = extracts[path]["corner"]
        weight = context.teacher.blocks[pair.teacher[0][0]].mlp.up_proj.weight.detach().numpy()
        u, s, vh = numpy.linalg.svd(weight[row : row + 28, column : column + 16])
        expected = (u[:, :3] * s[:3]) @ vh[:3]
        assert product(plan, path).numpy() == pytest.approx(expected, abs=1e-10)
        assert extracts[path]["energy"] == pytest.approx((s[:3] ** 2).sum() / (s**2).sum(), rel=1e-10)
        first_a = plan.start[f"{path}.lora_A"]  # A0 = V^T: rows of unit length
        torch.testing.assert_close(first_a @ first_a.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-10)


def test_a_teacher_that_is_the_student_gives_pissa():
    """The same principal part in another split: the whole matrices, each layer to itself."""
    student = make_model(**STUDENT)
    context = context_of(teacher=make_model(**STUDENT), student=student)
    plan, pissa = Seeking().plan(context), PiSSA().plan(context)
    assert [pair.label for pair in plan.pairs] == ["0->0", "1->1", "2->2"]
    assert all(found["corner"] == (0, 0) and found["share"] == 1 for found in plan.quality["extracts"])
    assert plan.start.keys() == pissa.start.keys()
    for path in student_matrices(student, OPTIONS):
        torch.testing.assert_close(product(plan, path), product(pissa, path), rtol=0, atol=1e-12)
        first_a, first_b = (pissa.start[f"{path}.lora_{factor}"] for factor in "AB")
        torch.testing.assert_close(first_a.norm(dim=1), first_b.norm(dim=0), rtol=1e-10, atol=0)  # sqrt(S) each


def test_an_adapted_teacher_gives_its_adapted_weights():
    context = context_of()
    adapter = lora(context.teacher, range(5), rank=2).eval().requires_grad_(False)
    for name, parameter in adapter.named_parameters():
        if "lora_" in name:
            parameter.add_(0.3 * torch.randn_like(parameter))
    merged = copy.deepcopy(adapter).merge_and_unload()
    plain = context_of(teacher=assemble("merged", merged, context.teacher.tokenizer))
    ours, expected = Seeking().plan(context), Seeking().plan(plain)
    assert ours.pairs == expected.pairs
    for path in student_matrices(context.student, OPTIONS):
        torch.testing.assert_close(product(ours, path), product(expected, path), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("family", "roles"), [("qwen2", ("q", "k", "v", "o", "gate", "up", "down")), ("gpt2", ("o", "up", "down"))]
)
def test_grouped_heads_tied_embeddings_and_transposed_weights_work(family, roles):
    options = LoraOptions(rank=4, alpha=4, roles=roles)
    sizes = {"num_key_value_heads": 4} if family == "qwen2" else {}
    teacher, student = tiny(family, n_layer=4, width=32, seed=1, **sizes), tiny(family)
    assert (student.head_weight is student.embedding_weight) == (family in ("qwen2", "gpt2"))
    context = context_of(options, teacher=teacher, student=student)
    before = student.module(IDS).logits
    for method in (Seeking(), PiSSA()):
        method.check_lora(teacher, student, options)
        plan, adapter = start(method, context)
        torch.testing.assert_close(adapter.eval()(IDS).logits, before, rtol=0, atol=1e-12)
        for path, matrix in student_matrices(student, options).items():
            module = student.module.get_submodule(path)
            found = sum(module.get_delta_weight(name) for name in module.active_adapters)
            assert found.abs().max() < 1e-12
            first = module.get_delta_weight("trained")
            torch.testing.assert_close(first.T if family == "gpt2" else first, product(plan, path), rtol=0, atol=1e-12)
            assert product(plan, path).shape == matrix.shape
        unload(adapter)


# what is refused


def check(method, teacher, student, options=OPTIONS):
    method.check(teacher, student, 100)
    method.check_lora(teacher, student, options)


def refusal(*given):
    with pytest.raises(UserError) as caught:
        check(*given)
    return str(caught.value)


@each_method
def test_factors_that_lora_would_scale_are_refused(method):
    context = context_of()
    assert refusal(method, context.teacher, context.student, LoraOptions(rank=3, alpha=6)) == (
        f"method '{method.name}' starts at factors of a given size, so LoRA must not scale them: "
        "training.lora.alpha is 6, rank 3; set both to the same number"
    )


@each_method
def test_a_rank_that_a_matrix_does_not_have_is_refused(method):
    context = context_of()
    line = refusal(method, context.teacher, context.student, LoraOptions(rank=9, alpha=9))
    assert line.startswith(f"method '{method.name}': model.layers.0.self_attn.v_proj of the student is 8 x 16, which")


def test_a_matrix_larger_than_the_teachers_is_refused_by_its_name():
    wide = make_model(**(STUDENT | {"inner": 41}))
    line = refusal(Seeking(), make_model(**TEACHER), wide)
    assert line.startswith(
        "method 'seeking' cuts the student's matrices out of the teacher's: mlp.up_proj of layer 0 is"
    )
    assert "41 x 16 in the student, only 40 x 24 in the teacher; leave 'up' out of training.lora.roles" in line
    check(Seeking(), make_model(**TEACHER), wide, LoraOptions(rank=3, alpha=3, roles=("v", "o")))


def test_a_teacher_of_fewer_layers_is_refused():
    shallow = make_model(**(TEACHER | {"n_layer": 2}))
    assert refusal(Seeking(), shallow, make_model(**STUDENT)) == (
        "method 'seeking' gives each student layer a teacher layer of its own: the student has 3, the teacher only 2; "
        "use a deeper teacher"
    )
    check(PiSSA(), shallow, make_model(**STUDENT))


@pytest.mark.parametrize(
    ("family", "role", "others", "path"),
    [("gpt2", "v", "q, k", "attn.c_attn"), ("phi3", "up", "gate", "mlp.gate_up_proj")],
)
def test_a_matrix_of_several_roles_is_refused(family, role, others, path):
    options = LoraOptions(rank=3, alpha=3, roles=("o", role))
    model = tiny(family)
    assert refusal(Seeking(), model, model, options) == (
        f"method 'seeking': tiny-{family} keeps '{role}' in one matrix with {others} ({path}), and a window of it "
        f"would mix them; leave '{role}' out of training.lora.roles"
    )
    check(PiSSA(), model, model, options)


def test_a_role_that_the_teacher_does_not_have_is_refused():
    options = LoraOptions(rank=3, alpha=3, roles=("gate",))
    assert "unknown LoRA role of the gpt2 family 'gate'" in refusal(Seeking(), tiny("gpt2"), tiny(), options)


def test_checking_reads_no_weights():
    """A teacher on the meta device has shapes only."""
    context = context_of()
    context.teacher.module.to("meta")
    check(Seeking(), context.teacher, context.student)
    assert layer_weights(context.teacher, 0)["mlp.up_proj.weight"].parameter.is_meta
