"""LaTen: nothing but the translator trains, what it adds is what is saved, and the best step is the one kept."""

import pytest
import torch
from pair import PAD, STUDENT, TEACHER, fill, make_context, make_examples, make_model
from tiny import tiny

from semalign.data import collate
from semalign.errors import UserError
from semalign.losses.cross_entropy import CrossEntropy
from semalign.methods import Given
from semalign.methods.laten import LaTen
from semalign.methods.laten import fit as laten_fit
from semalign.methods.laten.adapter import adapter_tensors, inject_adapters, write_changes
from semalign.methods.laten.fit import held_out_rows, one_cycle
from semalign.methods.laten.locate import Located
from semalign.methods.laten.places import KIND_OF, ROLES, Places
from semalign.methods.laten.translator import (
    Change,
    Translator,
    changes_of,
    mean_of,
    size_of,
    teacher_vectors,
)
from semalign.methods.step import Stage, Step
from semalign.models import load_adapter, lora, merge, save_adapter, unload
from semalign.strategy import build
from semalign.training import LoraOptions, TrainingOptions

METHOD = LaTen(share=0.25, learning_rate=0.01, batch_size=4, penalty=1.0)


def given_of(folder, **changes):
    rows = {"train": make_examples(8), "extract": make_examples(5), "align": make_examples(9)}
    options = TrainingOptions(epochs=1, batch_size=4)
    return Given(**{"rows": rows, "options": options, "pad_id": PAD, "folder": folder, **changes})


def fitted(folder, method=METHOD, context=None, **changes):
    context = context or make_context()
    plan = method.plan(context)
    adapter = method.adapt(context, plan, LoraOptions())
    return context, adapter, method.fit(context, plan, adapter, given_of(folder, **changes))


def logits(model, n=11):
    ids = torch.arange(3, 3 + 2 * n).reshape(2, n)
    with torch.no_grad():
        return model(ids).logits


def dense(places, role, layer, change):
    """A change as a whole matrix."""
    weight = places.module(role, layer).weight
    whole = torch.zeros_like(weight.detach())
    if role in ("up", "v"):
        whole[change.places] = change.values.detach().to(whole.dtype)
    else:
        whole[:, change.places] = change.values.detach().T.to(whole.dtype)
    return whole


def random_changes(student, n=3):
    """Some rows and columns of every weight."""
    places, changes = Places(student), {}
    draws = torch.Generator().manual_seed(5)
    for layer in range(student.n_layer):
        for role in ROLES:
            at = torch.randperm(places.n_place(role), generator=draws)[:n]
            changes[role, layer] = Change(at, 0.1 * torch.randn(n, student.width, generator=draws).double())
    return changes


RANKS = dict.fromkeys(ROLES, 4)


# inject


@pytest.mark.parametrize("family", ["llama", "qwen2", "opt"])
def test_adapters_add_nothing_until_something_is_written(family):
    student = tiny(family)
    before = logits(student.module)
    adapter = inject_adapters(student, RANKS)
    assert torch.equal(logits(student.module), before)
    write_changes(student, random_changes(student))
    assert (logits(student.module) - before).abs().max() > 1e-3
    write_changes(student, {})
    assert torch.equal(logits(student.module), before)
    assert torch.equal(logits(unload(adapter)), before)


@pytest.mark.parametrize("family", ["llama", "qwen2", "opt"])
def test_merged_weights_are_the_old_ones_plus_the_change(family):
    """Grouped queries; qwen2 ties its embeddings, and both of them stay as they are."""
    student = tiny(family)
    before = {name: p.detach().clone() for name, p in student.module.named_parameters()}
    adapter = inject_adapters(student, RANKS)
    changes = random_changes(student)
    write_changes(student, changes)
    merged = dict(merge(adapter).named_parameters())
    assert merged.keys() == before.keys()
    for (role, layer), change in changes.items():
        name = f"{student.family.blocks}.{layer}.{student.family.roles[role]}.weight"
        expected = before.pop(name) + dense(Places(student), role, layer, change)
        torch.testing.assert_close(merged[name].detach(), expected, rtol=0, atol=1e-12)
    assert all(torch.equal(merged[name], value) for name, value in before.items())


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_the_path_of_the_change_and_the_fused_weights_give_the_same_logits(family, tmp_path):
    student = tiny(family)
    adapter = inject_adapters(student, RANKS)
    changes = random_changes(student)
    step = Step(student, outputs=[CrossEntropy()], stages=[Stage(layers=(), pairs=())]).eval()
    tensors = adapter_tensors(student, changes, "module")
    path = torch.func.functional_call(step.module, {k.removeprefix("module."): v for k, v in tensors.items()}, (IDS,))
    write_changes(student, changes)
    torch.testing.assert_close(student.module(IDS).logits, path.logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(merge(adapter)(IDS).logits, path.logits, rtol=0, atol=1e-9)
    save_adapter(adapter, tmp_path / "adapter")
    untouched = unload(adapter)
    assert not [name for name, _ in untouched.named_parameters() if "lora" in name]
    load_adapter(student, tmp_path / "adapter")
    torch.testing.assert_close(student.module(IDS).logits, path.logits, rtol=0, atol=1e-6)  # stored as PEFT keeps it


IDS = torch.arange(3, 14)[None]


# align


def located(layers, neurons):
    return Located(tuple(layers), torch.tensor(neurons), torch.zeros(len(layers)))


def test_translated_rows_and_columns_go_to_the_paired_neurons():
    """The j-th neuron of the k-th kept layer of the teacher to the j-th of the k-th of the student."""
    teacher, student = Places(make_model(**TEACHER)), Places(make_model(**STUDENT))
    theirs = {"ffn": located([1, 2, 4], [[5, 9], [0, 39], [7, 2]]), "attention": located([0, 1, 3], [[3], [23], [8]])}
    ours = {"ffn": located([0, 1, 2], [[27, 1], [4, 0], [3, 8]]), "attention": located([0, 1, 2], [[15], [0], [6]])}
    vectors = teacher_vectors(teacher, theirs)
    up, down = (teacher.module(role, 2).weight for role in ("up", "down"))
    torch.testing.assert_close(vectors["up"][1], up[[0, 39]].float())
    torch.testing.assert_close(vectors["down"][1], down[:, [0, 39]].T.float())
    cut = {role: x[..., :16] for role, x in vectors.items()}
    changes = changes_of(student, ours, cut)
    assert changes["up", 1].places.tolist() == [4, 0]
    torch.testing.assert_close(changes["up", 1].values, up[[0, 39], :16].float())
    torch.testing.assert_close(changes["o", 0].values[0], teacher.module("o", 0).weight[:16, 3].float())
    assert (changes["o", 0].places.tolist(), changes["v", 0].places.tolist()) == ([15], [7])


def test_of_neurons_that_share_a_row_of_values_the_best_changes_it():
    student = Places(make_model(**STUDENT))  # two query heads of 8 on one value head
    ours = {kind: located([0, 1, 2], [[12, 4, 3]] * 3) for kind in ("ffn", "attention")}
    values = torch.arange(3 * 3 * 16.0).reshape(3, 3, 16)
    changes = changes_of(student, ours, dict.fromkeys(ROLES, values))
    assert changes["v", 0].places.tolist() == [4, 3]
    assert torch.equal(changes["v", 0].values, values[0, [0, 2]])
    assert changes["o", 0].places.tolist() == [12, 4, 3]


def test_the_translator_is_two_matrices_a_role_that_start_near_nothing():
    translator = Translator(24, 16, torch.Generator().manual_seed(0))
    shapes = sorted(tuple(p.shape) for p in translator.parameters())
    assert shapes == [(16, 24)] * 4 + [(24, 24)] * 4
    values = torch.cat([p.flatten() for p in translator.parameters()])
    assert values.dtype == torch.float32
    assert values.std().item() == pytest.approx(1e-5, rel=0.05)
    fill(translator.named_parameters())
    given = torch.randn(2, 3, 24)
    first, second = (translator.networks["v"][i].weight for i in (0, 2))
    torch.testing.assert_close(translator({"v": given})["v"], (given @ first.T).relu() @ second.T)


def test_the_vectors_of_an_adapted_teacher_hold_its_adapter():
    teacher = make_model(**TEACHER)
    adapter = lora(teacher, range(5), rank=2, alpha=6)
    fill([(name, p) for name, p in adapter.named_parameters() if "lora_" in name])
    places, merged = Places(teacher), merge(adapter)
    for role in ROLES:
        weight = merged.get_submodule(f"model.layers.3.{teacher.family.roles[role]}").weight
        neurons = torch.tensor([4, 0, 11])
        at = places.place(role, neurons)
        expected = weight[at] if role in ("up", "v") else weight[:, at].T
        torch.testing.assert_close(places.vectors(role, 3, neurons), expected, rtol=0, atol=1e-9)


def test_the_mean_over_rows_is_the_mean_of_whole_matrices():
    student = make_model(**STUDENT)
    places = Places(student)
    changes = random_changes(student).items()
    parts = [{key: Change(c.places.roll(i)[: 1 + i], c.values[: 1 + i]) for key, c in changes} for i in range(3)]
    merged = mean_of(parts)
    for (role, layer), change in merged.items():
        expected = torch.stack([dense(places, role, layer, part[role, layer]) for part in parts]).mean(0)
        torch.testing.assert_close(dense(places, role, layer, change), expected, rtol=0, atol=1e-12)
        assert len(change.places.unique()) == len(change.places)


def test_the_size_of_a_change_is_the_mean_square_of_each_role_summed():
    changes = random_changes(make_model(**STUDENT))
    expected = sum(
        torch.stack([c.values for (r, _), c in changes.items() if r == role]).square().mean() for role in ROLES
    )
    torch.testing.assert_close(size_of(changes), expected)


# training


@pytest.mark.parametrize("n_step", [2, 4, 8, 25, 60])
def test_the_learning_rate_is_that_of_torchs_one_cycle(n_step):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=3e-5, total_steps=n_step, pct_start=0.1, final_div_factor=1, cycle_momentum=False
    )
    for step in range(n_step):
        assert 3e-5 * one_cycle(step, n_step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if step + 1 < n_step:
            cycle.step()


@pytest.mark.parametrize("n_step", [1, 10])
def test_the_learning_rate_is_known_where_torchs_divides_by_zero(n_step):
    rates = [one_cycle(step, n_step) for step in range(n_step)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(1 / 25)
    assert max(rates) <= 1


def test_gradients_reach_the_translator_only(tmp_path, monkeypatch):
    seen = {}
    backward = laten_fit.Fit._backward

    def watched(self, step):
        entry = backward(self, step)
        seen["translator"] = [p.grad for p in self.translator.parameters()]
        return entry

    monkeypatch.setattr(laten_fit.Fit, "_backward", watched)
    context = make_context()
    before = {name: p.detach().clone() for name, p in context.student.module.named_parameters()}
    theirs = {name: p.detach().clone() for name, p in context.teacher.module.named_parameters()}
    context, adapter, history = fitted(tmp_path, context=context)
    assert all(gradient is not None and gradient.any() for gradient in seen["translator"])
    assert history.n_trainable == 4 * (24 * 24 + 24 * 16)
    for model in (context.student, context.teacher):
        assert all(p.grad is None for p in model.module.parameters())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.module.modules())
    unload(adapter)
    after = dict(context.student.module.named_parameters())
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(torch.equal(p, theirs[name]) for name, p in context.teacher.module.named_parameters())


def test_the_gradient_is_that_of_the_whole_loss_in_one_piece(tmp_path, monkeypatch):
    """Against a student whose weights are the old ones plus the dense change, differentiated from end to end."""
    seen = {}
    backward = laten_fit.Fit._backward

    def watched(self, step):
        fill(self.translator.named_parameters(), stream=step)
        rows = []
        collect = self._micro_batches
        monkeypatch.setattr(laten_fit.Fit, "_micro_batches", lambda _, given: rows.extend(given) or collect(given))
        entry = backward(self, step)
        monkeypatch.setattr(laten_fit.Fit, "_micro_batches", laten_fit_micro)
        if not seen:
            changes = self._changes(self.matches[step])
            student = self.student
            weights = {}
            for (role, layer), change in changes.items():
                name = f"model.layers.{layer}.{student.model.family.roles[role]}"
                n = student.n_place(role)
                selector = torch.nn.functional.one_hot(change.places, n).double().T
                whole = selector @ change.values.double()
                weights[f"{name}.base_layer.weight"] = student.module(role, layer).weight + (
                    whole if role in ("up", "v") else whole.T
                )
            batch = collate(rows, PAD)
            out = torch.func.functional_call(
                student.model.module, weights, (batch.input_ids,), {"attention_mask": batch.attention_mask}
            )
            loss = torch.nn.functional.cross_entropy(out.logits[batch.mask], batch.targets[batch.mask])
            loss = loss + self.penalty * size_of(changes)
            expected = torch.autograd.grad(loss, list(self.translator.parameters()))
            seen["pairs"] = [(p.grad.clone(), e) for p, e in zip(self.translator.parameters(), expected, strict=True)]
            seen["loss"] = entry["loss"], float(loss.detach())
        return entry

    laten_fit_micro = laten_fit.Fit._micro_batches
    monkeypatch.setattr(laten_fit.Fit, "_backward", watched)
    fitted(tmp_path, METHOD.replace(penalty=7.0))
    assert seen["loss"][0] == pytest.approx(seen["loss"][1], rel=1e-6)
    for found, expected in seen["pairs"]:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)  # the translator is in float32


def test_micro_batches_change_nothing(tmp_path):
    whole, parts = (
        fitted(tmp_path / str(size), options=TrainingOptions(epochs=1, batch_size=4, micro_batch_size=size))[2]
        for size in (4, 1)
    )
    for one, other in zip(whole.entries, parts.entries, strict=True):
        for value in ("loss", "held_out", "grad_norm"):
            assert one[value] == pytest.approx(other[value], rel=1e-5)
        assert (one["tokens"], one["row"]) == (other["tokens"], other["row"])


@pytest.mark.parametrize("fuse", ["first", "mean"])
def test_the_step_that_is_kept_has_the_lowest_held_out_loss_of_all(fuse, tmp_path):
    context, _, history = fitted(tmp_path, METHOD.replace(fuse=fuse))
    held = [history.entries[0]["held_out_untouched"], *(entry["held_out"] for entry in history.entries)]
    kept = [False, *(entry["kept"] for entry in history.entries)]
    best = min(range(len(held)), key=held.__getitem__)
    assert kept == [i == best and best > 0 for i in range(len(held))]
    assert best > 0
    rows, _ = held_out_rows(make_examples(9), 0.25, 0)
    batch = collate(rows, PAD)
    with torch.no_grad():
        z = context.student.module(batch.input_ids, attention_mask=batch.attention_mask).logits
    found = torch.nn.functional.cross_entropy(z[batch.mask], batch.targets[batch.mask])
    assert float(found) == pytest.approx(held[best], rel=1e-6)


def test_where_every_step_is_worse_the_student_stays_as_it_was(tmp_path, monkeypatch):
    planted = iter([1.0, 1.5, 1.2, 1.1, 1.3, 1.0])
    monkeypatch.setattr(laten_fit.Fit, "measure", lambda _: next(planted))
    context = make_context()
    before = logits(context.student.module)
    context, _, history = fitted(tmp_path, context=context)
    assert not any(entry["kept"] for entry in history.entries)
    assert torch.equal(logits(context.student.module), before)


def test_every_extract_row_is_one_step_unless_there_are_too_many(tmp_path):
    options = TrainingOptions()
    assert METHOD.n_step(options, {"train": 100, "extract": 5}) == 5
    assert METHOD.replace(steps=2).n_step(options, {"train": 100, "extract": 5}) == 2
    _, _, history = fitted(tmp_path / "all")
    assert sorted(entry["row"] for entry in history.entries) == [f"row{i}" for i in range(5)]
    assert history.n_step == 5
    _, _, two = fitted(tmp_path / "two", METHOD.replace(steps=2))
    assert [entry["row"] for entry in two.entries] == [entry["row"] for entry in history.entries][:2]
    assert two.n_token == sum(entry["tokens"] for entry in two.entries) > 0


def test_the_seed_decides_everything(tmp_path):
    first, again, other = (
        fitted(tmp_path / str(i), METHOD.replace(neurons="random", seed=seed))[2] for i, seed in enumerate((3, 3, 4))
    )
    values = [[(entry["row"], entry["loss"], entry["held_out"]) for entry in h.entries] for h in (first, again, other)]
    assert values[0] == values[1] != values[2]


def test_the_plan_names_the_layers_of_the_row_that_is_injected(tmp_path):
    context, _, history = fitted(tmp_path)
    plan = METHOD.plan(context)
    assert plan.quality["row"] == history.entries[0]["row"]
    for kind in ("ffn", "attention"):
        increase = torch.tensor(plan.quality[kind]["increase"])
        assert plan.quality[kind]["layers"] == sorted(increase.argsort(descending=True)[:3].tolist())
    assert [pair.teacher[0][0] for pair in plan.pairs] == plan.quality["ffn"]["layers"]
    assert plan.layers == (0, 1, 2)


def test_as_many_neurons_are_moved_as_the_share_says():
    context = make_context()
    plan = METHOD.plan(context)
    METHOD.adapt(context, plan, LoraOptions())
    places = Places(context.student)
    ranks = {role: len(places.module(role, 0).lora_A["default"].weight) for role in ROLES}
    assert ranks == {"up": 7, "down": 7, "v": 4, "o": 4}  # a quarter of 28 and of 16
    assert all(places.module(role, 0).scaling["default"] == 1 for role in KIND_OF)


# what is refused


def test_fewer_than_two_other_rows_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"at least 2 'align' .* there is 1; raise rows\.align"):
        fitted(tmp_path, rows={"train": make_examples(4), "extract": make_examples(2), "align": make_examples(1)})


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    with pytest.raises(UserError, match=r"^training stopped at step 1: .* lower the method's learning_rate"):
        fitted(tmp_path, METHOD.replace(learning_rate=1e30))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"neurons": "random", "sources": "all"}, "'sources' has no effect on random neurons"),
        ({"fuse": "mean", "steps": 1}, "'fuse: mean' has no effect with 'steps: 1'"),
        ({"neurons": "locate"}, "unknown value 'locate'. Did you mean 'located'?"),
        ({"share": 0}, "greater than 0"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"held_out": 1.0}, "less than 1"),
        ({"rank": 4}, "takes no 'rank'"),
    ],
)
def test_options_that_make_no_sense_are_one_line(options, line):
    with pytest.raises(UserError) as caught:
        build("method", {"name": "laten", **options}, "method")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_models_that_do_not_fit_are_refused():
    teacher, student = make_model(**TEACHER), make_model(**STUDENT)
    METHOD.check(teacher, student, 1)
    with pytest.raises(UserError, match="the teacher has 3 and the student 5"):
        METHOD.check(student, teacher, 1)
    with pytest.raises(UserError, match=r"share 0.05 of the student's attention neurons is none"):
        METHOD.replace(share=0.05).check(teacher, student, 1)
    narrow = make_model(**(TEACHER | {"inner": 6}))
    with pytest.raises(UserError, match="moves 7 ffn neurons a layer, but the teacher has 6"):
        METHOD.check(narrow, student, 1)
    with pytest.raises(UserError, match="are one module of the phi3 family"):
        METHOD.check(tiny("phi3"), student, 1)
