"""The loop: schedule, order of rows, metrics, what stops it, and going on bit for bit after a stop."""

import json
import math

import pytest
import torch
from pair import N_ROW, PAD, STUDENT, TEACHER, adapted_step, make_context, make_examples, make_model, trainable
from stopped import N_EXAMPLE, OPTIONS, Stopped, start, timeless

from semalign.errors import UserError
from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.training import checkpoint, train
from semalign.training.loop import batch_plan, learning_rate_factor

FIELDS = {"step", "loss", "terms", "cosine", "grad_norm", "tokens", "supervised", "tokens_per_second", "lr"}


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("method", [SemAlign(), SFT()], ids=["semalign", "sft"])
@pytest.mark.parametrize("stop_at", [2, 3, 5])
def test_a_stopped_training_goes_on_bit_for_bit(stop_at, method, tmp_path):
    whole, expected = start(tmp_path / "whole", method=method)
    with pytest.raises(Stopped):
        start(tmp_path / "stopped", stop_at=stop_at, method=method)
    resumed, found = start(tmp_path / "stopped", method=method)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert timeless(resumed.entries) == timeless(whole.entries)
    assert timeless(lines(tmp_path / "stopped")) == timeless(lines(tmp_path / "whole"))
    assert (resumed.n_step, resumed.n_token, resumed.n_trainable) == (whole.n_step, whole.n_token, whole.n_trainable)


def test_resuming_repeats_no_step_before_the_checkpoint(tmp_path):
    with pytest.raises(Stopped):
        start(tmp_path, stop_at=5)
    done = []
    _, _, step = adapted_step(SemAlign(), make_context(), dropout=0.3, seed=4)
    train(step, make_examples(N_EXAMPLE), OPTIONS, pad_id=PAD, seed=4, folder=tmp_path, advance=done.append)
    assert done == [5, 6]


def test_dropout_is_on_in_training_and_off_after_it(tmp_path):
    _, _, step = adapted_step(SFT(), make_context(), dropout=0.3)
    modes = []
    step.eval()
    train(
        step,
        make_examples(N_EXAMPLE),
        OPTIONS,
        pad_id=PAD,
        seed=0,
        folder=tmp_path,
        advance=lambda _done: modes.append(all(part.training for part in step.modules())),
    )
    assert modes == [True] * 6
    assert not any(part.training for part in step.modules())


def test_the_last_two_checkpoints_are_kept(tmp_path):
    start(tmp_path, options=OPTIONS.model_copy(update={"checkpoint_every": 1}))
    assert checkpoint.found(tmp_path) == [4, 5]


def test_a_checkpoint_that_fails_leaves_the_older_one(tmp_path, monkeypatch):
    write = checkpoint.write_tensors

    def full(path, tensors):
        if path.name == "optimizer.safetensors" and "checkpoint-4" in path.parent.name:
            raise OSError(28, "No space left on device")
        write(path, tensors)

    monkeypatch.setattr(checkpoint, "write_tensors", full)
    with pytest.raises(UserError, match="no disk space left"):
        start(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "metrics.jsonl"]
    monkeypatch.undo()
    resumed, found = start(tmp_path)
    whole, expected = start(tmp_path / "whole")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert timeless(resumed.entries) == timeless(whole.entries)


def test_metrics_hold_every_step_once_with_all_fields(tmp_path):
    history, _ = start(tmp_path)
    entries = lines(tmp_path)
    assert entries == history.entries
    assert [entry["step"] for entry in entries] == list(range(6))
    for entry in entries:
        measured = {"term_gradient_norms"} if entry["step"] % OPTIONS.diagnose_every == 0 else set()
        assert entry.keys() == FIELDS | measured
        assert entry["terms"].keys() == {"latent_cosine", "onehot_cosine"}
        assert entry["loss"] == pytest.approx(sum(entry["terms"].values()), rel=1e-12)
        assert [*entry["cosine"].values()] == pytest.approx([1 - entry["terms"]["latent_cosine"]], rel=1e-12)
    tokens = sum(len(example.input_ids) for example in make_examples(N_EXAMPLE))
    assert sum(entry["tokens"] for entry in entries) == history.n_token == 2 * tokens


def test_the_same_seed_is_the_same_training_and_another_seed_another(tmp_path):
    _, first = start(tmp_path / "a", seed=4)
    _, second = start(tmp_path / "b", seed=4)
    _, other = start(tmp_path / "c", seed=5)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(not torch.equal(first[name], other[name]) for name in first)


def test_gradients_are_clipped_to_the_norm_asked_for(tmp_path):
    """AdamW's first step does not see the scale of a gradient, so its momentum is what tells."""
    options = OPTIONS.model_copy(update={"gradient_clip": 1e-3, "checkpoint_every": 1, "epochs": 1})
    with pytest.raises(Stopped):
        start(tmp_path, options=options, stop_at=1)
    from semalign.artifacts import read_tensors

    moments = read_tensors(tmp_path / "checkpoint-1" / "optimizer.safetensors")
    first = torch.cat([value.flatten() for name, value in moments.items() if name.endswith("|exp_avg")])
    assert lines(tmp_path)[0]["grad_norm"] > 1e-2  # what is reported is the norm before clipping
    assert float(first.norm()) == pytest.approx(0.1 * 1e-3, rel=1e-4)  # momentum takes a tenth of the gradient


# learning rate


@pytest.mark.parametrize(("n_step", "warmup"), [(1, 0.1), (7, 0.0), (10, 0.1), (40, 0.25), (3, 0.99)])
def test_the_learning_rate_rises_to_one_then_falls_and_is_never_zero(n_step, warmup):
    factors = [learning_rate_factor(step, n_step, warmup) for step in range(n_step)]
    n_warm = math.ceil(warmup * n_step)
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1
    rise, fall = factors[:n_warm], factors[max(n_warm - 1, 0) :]
    assert rise == sorted(set(rise))
    assert fall == sorted(fall, reverse=True)


def test_the_learning_rate_warms_up_in_even_steps():
    assert [learning_rate_factor(step, 40, 0.1) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_the_learning_rate_is_half_in_the_middle_of_the_cosine():
    assert learning_rate_factor(4 + 18, 40, 0.1) == pytest.approx(0.5)


def test_the_learning_rate_would_be_zero_after_the_last_step():
    assert learning_rate_factor(40, 40, 0.1) == pytest.approx(0, abs=1e-15)


def test_metrics_hold_the_learning_rate_of_the_step(tmp_path):
    history, _ = start(tmp_path)
    expected = [0.02 * learning_rate_factor(step, 6, OPTIONS.warmup) for step in range(6)]
    assert [entry["lr"] for entry in history.entries] == pytest.approx(expected, rel=1e-12)


# order of rows


@pytest.mark.parametrize("n_row", [1, 3, 8, 9])
def test_each_row_comes_once_an_epoch(n_row):
    plan = batch_plan(n_row, OPTIONS, seed=1)
    n_batch = -(-n_row // 3)
    assert len(plan) == 2 * n_batch
    for epoch in range(2):
        rows = [row for batch in plan[epoch * n_batch : (epoch + 1) * n_batch] for row in batch]
        assert sorted(rows) == list(range(n_row))
    assert all(len(batch) <= 3 for batch in plan)


def test_the_order_depends_on_the_seed_and_the_epoch_only():
    options = OPTIONS.model_copy(update={"learning_rate": 1.0, "micro_batch_size": 1})
    plan = batch_plan(30, OPTIONS, seed=1)
    assert plan == batch_plan(30, options, seed=1)
    assert plan != batch_plan(30, OPTIONS, seed=2)
    assert plan[:10] != plan[10:]
    longer = batch_plan(30, OPTIONS.model_copy(update={"epochs": 5}), seed=1)
    assert longer[:20] == plan
    rows = [
        [row for batch in p for row in batch]
        for p in (plan, batch_plan(30, options.model_copy(update={"batch_size": 7}), seed=1))
    ]
    assert rows[0] == rows[1]


# numbers that are not finite


def test_nan_in_the_students_weights_stops_training_with_the_term_and_the_rows(tmp_path):
    context = make_context()
    _, _, step = adapted_step(SemAlign(), context)
    context.student.module.get_submodule("model.norm").weight.data[3] = math.nan
    with pytest.raises(UserError) as caught:
        train(step, make_examples(N_EXAMPLE), OPTIONS, pad_id=PAD, seed=0, folder=tmp_path)
    expected = (
        "training stopped at step 0: the loss term 'onehot_cosine' is not a finite number (rows of the batch: row"
    )
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)
    assert all(torch.isfinite(value).all() for value in trainable(step).values())


def test_nan_in_a_batch_names_the_latent_term_and_the_rows_it_comes_from(tmp_path):
    teacher = make_model(**TEACHER)
    token = N_ROW - 1
    bad = make_examples(N_EXAMPLE)
    for example in bad:
        example.input_ids[:] = [min(ids, token - 1) for ids in example.input_ids]
    bad[5].input_ids[0] = token  # only this row meets the damaged embedding
    context = make_context(teacher=teacher)
    _, _, step = adapted_step(SemAlign(), context)
    teacher.module.get_input_embeddings().weight.data[token] = math.inf
    options = OPTIONS.model_copy(update={"batch_size": 8, "micro_batch_size": 2})
    with pytest.raises(
        UserError, match=r"step 0: the loss term 'latent_cosine' is not a finite number \(rows of the batch: row"
    ) as caught:
        train(step, bad, options, pad_id=PAD, seed=0, folder=tmp_path)
    assert "row5" in str(caught.value)
    assert "row4" not in str(caught.value)


def test_infinite_gradients_of_a_finite_loss_stop_training_too(tmp_path):
    context = make_context()
    _, _, step = adapted_step(SFT(), context)
    next(iter(trainable(step).values())).register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(UserError, match="step 0: the gradient is not a finite number"):
        train(step, make_examples(4), OPTIONS, pad_id=PAD, seed=0, folder=tmp_path)


def test_a_batch_whose_rows_have_no_answer_left_counts_as_nothing(tmp_path):
    """The tiniest student works too: the mask decides, not the size of the batch."""
    context = make_context(student=make_model(**(STUDENT | {"n_layer": 1})))
    _, _, step = adapted_step(SemAlign(), context)
    history = train(step, make_examples(1), OPTIONS, pad_id=PAD, seed=0, folder=tmp_path)
    assert history.n_step == 2


@pytest.mark.parametrize("text", ["", '{"step": 0}\n', '{"step": 0}\n{"st'])
def test_metrics_that_lost_their_steps_are_named_with_what_to_do(text, tmp_path):
    with pytest.raises(Stopped):
        start(tmp_path, stop_at=2)
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(UserError) as caught:
        start(tmp_path)
    place = tmp_path / "metrics.jsonl"
    assert (
        str(caught.value)
        == f"{place}: does not hold the 2 steps that are done; delete {tmp_path} to train from the start"
    )
