"""Sequential schedules: one layer trains at a time, the others stand still, and kept prefixes change nothing."""

import pytest
import torch
from pair import PAD, adapted_step, make_context, make_examples, trainable

from semalign.data import collate
from semalign.errors import UserError
from semalign.losses.fisher import Fisher
from semalign.losses.geometry import Geometry
from semalign.losses.kl import ForwardKL
from semalign.methods.semalign import SemAlign
from semalign.methods.step import Stage
from semalign.pairing.depth import Depth
from semalign.pairing.manual import Manual
from semalign.schedules.deep_to_shallow import DeepToShallow
from semalign.schedules.frontier import Frontier
from semalign.schedules.random_order import RandomOrder
from semalign.training import TrainingOptions, train
from semalign.training.loop import stage_starts

OPTIONS = TrainingOptions(epochs=3, batch_size=4, learning_rate=0.02, micro_batch_size=3, diagnose_every=4)
SCHEDULES = {"frontier": Frontier, "deep": DeepToShallow, "random": RandomOrder}
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())


def sequential(schedule, **changes):
    return SemAlign(
        pairing=Depth(), loss=Geometry(), site="block_delta", outputs=(ForwardKL(),), schedule=schedule
    ).replace(**changes)


def trained(method, folder, *, dropout=0.0, options=OPTIONS, n=6, by_formula=True):
    _, _, step = adapted_step(method, make_context(), dropout=dropout, by_formula=by_formula)
    before = {name: p.detach().clone() for name, p in trainable(step).items()}
    history = train(step, make_examples(n), options, pad_id=PAD, seed=1, folder=folder)
    return history, before, {name: p.detach() for name, p in step.named_parameters() if name in before}


def layer_of(name):
    return int(name.partition(".layers.")[2].partition(".")[0])


@each_schedule
def test_a_stage_changes_its_layer_and_no_other(schedule, tmp_path):
    _, _, step = adapted_step(sequential(schedule()), make_context(), by_formula=False)
    adapters = trainable(step)
    step.train()
    batch = collate(make_examples(4), PAD)
    for number, stage in enumerate(step.stages):
        step.enter(number)
        loss, _, _ = step(batch, step.units(batch))
        loss.backward()
        moved = {layer_of(name) for name, p in adapters.items() if p.grad is not None}
        assert moved == set(stage.layers)
        assert len(stage.layers) == 1
        for p in adapters.values():
            p.grad = None


@each_schedule
def test_kept_prefixes_train_the_same_student(schedule, tmp_path):
    histories, adapters = [], []
    for cache in (True, False):
        # with dropout: what lies below the training block is deterministic all the same
        history, before, after = trained(sequential(schedule(cache=cache)), tmp_path / str(cache), dropout=0.2)
        histories.append(history)
        adapters.append(after)
        assert all((before[name] != after[name]).any() for name in after)
    for a, b in zip(*(history.entries for history in histories), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-9)
        assert a["stage"] == b["stage"]
    for name in adapters[0]:
        torch.testing.assert_close(adapters[0][name], adapters[1][name], rtol=1e-7, atol=1e-9)


def test_with_a_kept_prefix_no_block_below_the_frontier_runs_twice_on_a_row(tmp_path):
    context = make_context()
    _, _, step = adapted_step(sequential(Frontier(), outputs=()), context)
    ran: list[tuple[int, bool]] = []
    for i, block in enumerate(context.student.blocks):
        block.register_forward_hook(lambda *_, i=i: ran.append((i, torch.is_grad_enabled())))
    train(
        step,
        make_examples(4),
        OPTIONS.model_copy(update={"micro_batch_size": None}),
        pad_id=PAD,
        seed=1,
        folder=tmp_path,
    )
    n_row, n_block = 4, 3
    frozen = [layer for layer, graph in ran if not graph]
    assert {layer: frozen.count(layer) for layer in set(frozen)} == {0: n_row, 1: n_row}
    # no output is asked for, so nothing runs above the frontier either: a block is trained in its own stage alone
    with_graph = [layer for layer, graph in ran if graph]
    assert with_graph == sorted(with_graph)
    assert set(with_graph) == set(range(n_block))


def test_a_training_killed_within_a_stage_goes_on_to_the_same_bits(tmp_path):
    options = OPTIONS.model_copy(update={"checkpoint_every": 1})
    method = sequential(Frontier(), balance=True)
    whole, _, expected = trained(method, tmp_path / "whole", dropout=0.1, options=options)

    class Killed(Exception):
        pass

    def kill(done):
        if done == 4:  # six steps in three stages: the last step of the second stage comes next
            raise Killed

    for advance in (kill, lambda _: None):
        _, _, step = adapted_step(method, make_context(), dropout=0.1)
        adapters = trainable(step)
        try:
            again = train(
                step, make_examples(6), options, pad_id=PAD, seed=1, folder=tmp_path / "killed", advance=advance
            )
        except Killed:
            continue
    assert [entry["loss"] for entry in again.entries] == [entry["loss"] for entry in whole.entries]
    assert [entry["weights"] for entry in again.entries] == [entry["weights"] for entry in whole.entries]
    for name, value in expected.items():
        assert torch.equal(adapters[name].detach(), value)


def test_layers_without_a_pair_train_with_the_next_pair_above():
    method = sequential(Frontier(), pairing=Manual(pairs=((1, 2),)), train="all")
    _, plan, step = adapted_step(method, make_context())
    assert plan.layers == (0, 1, 2)
    assert step.stages == (Stage(layers=(0, 1, 2), pairs=plan.pairs),)
    pairs = Manual(pairs=((0, 1), (1, 3)))
    _, _, step = adapted_step(sequential(Frontier(), pairing=pairs, train="all"), make_context())
    assert [stage.layers for stage in step.stages] == [(0,), (1, 2)]


def test_steps_are_divided_as_evenly_as_can_be():
    assert stage_starts(12, 3) == [0, 4, 8]
    assert stage_starts(11, 3) == [0, 3, 7]
    assert stage_starts(3, 3) == [0, 1, 2]
    assert stage_starts(5, 1) == [0]


def test_every_stage_warms_up_and_cools_down(tmp_path):
    history, _, _ = trained(sequential(Frontier()), tmp_path, options=OPTIONS.model_copy(update={"epochs": 6}))
    rates = [[entry["lr"] for entry in history.entries if entry["stage"] == stage] for stage in range(3)]
    assert len({tuple(each) for each in rates}) == 1
    assert len(rates[0]) == 4
    assert rates[0][-1] < 0.3 * max(rates[0])


def test_more_stages_than_steps_are_refused_before_training():
    context = make_context()
    with pytest.raises(UserError, match=r"^schedule 'frontier' has 3 stages, but the training has 2 steps; raise"):
        sequential(Frontier()).check(context.teacher, context.student, 2)
    sequential(Frontier()).check(context.teacher, context.student, 3)


def test_a_sequence_of_one_stage_is_refused():
    context = make_context()
    method = sequential(DeepToShallow(), pairing=Manual(pairs=((1, 2),)))
    with pytest.raises(UserError, match=r"^schedule 'deep_to_shallow' has no effect: pairing 'manual' gives one pair"):
        method.check(context.teacher, context.student, 100)


def test_balanced_weights_give_gradients_in_the_ratio_asked_for(tmp_path):
    method = SemAlign(
        pairing=Depth(), site="block_out", loss=Fisher(weight=0.5), outputs=(ForwardKL(weight=2.0),), balance=True
    )
    history, _, _ = trained(method, tmp_path, options=OPTIONS.model_copy(update={"micro_batch_size": None}))
    first = history.entries[0]
    assert first["weights"]["kl"] == pytest.approx(2.0)
    # the norms were measured again with the weights found: a term's own norm is its weight times the first output's
    norms = first["term_gradient_norms"]
    assert norms["latent_fisher"] / (norms["kl"] / 2.0) == pytest.approx(0.5, rel=1e-6)
    assert all(entry["weights"] == first["weights"] for entry in history.entries)
