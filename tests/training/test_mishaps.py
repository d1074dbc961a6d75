"""A loss that is not finite or jumps: the batch is saved, and training stops, leaves it out, or goes back."""

import json
import math

import pytest
import torch
from pair import PAD, adapted_step, make_context, make_examples, trainable
from stopped import OPTIONS, Stopped, timeless

from semalign.errors import UserError
from semalign.methods.semalign import SemAlign
from semalign.training import TrainingOptions, checkpoint, train
from semalign.training.mishaps import FEWEST, MOST

N_EXAMPLE = 24  # batches of three: eight steps an epoch
LONG = OPTIONS.model_copy(update={"epochs": 2, "checkpoint_every": 4})
BAD = 11


def start(folder, *, options, spoil=(), stop_at=None, factor=math.nan):
    """A training with dropout whose loss is multiplied at some steps; what ran, its history and its adapters."""
    _, _, step = adapted_step(SemAlign(), make_context(), dropout=0.3, seed=4)
    rewrite, forward, ran = step.rewrite, step.forward, []

    def begin(rows, number):
        ran.append(number)
        return rewrite(rows, number)

    def spoilt(batch, units):
        loss, terms, cosines = forward(batch, units)
        return (loss * factor if ran[-1] in spoil else loss), terms, cosines

    def advance(done):
        if done == stop_at:
            raise Stopped

    step.rewrite, step.forward = begin, spoilt
    history = train(step, make_examples(N_EXAMPLE), options, pad_id=PAD, seed=4, folder=folder, advance=advance)
    return ran, history, {name: p.detach().clone() for name, p in trainable(step).items()}


def equal(a, b):
    return all(torch.equal(a[name], b[name]) for name in b)


def of(policy, **changes):
    return LONG.model_copy(update={"on_trouble": policy, **changes})


def test_by_default_training_stops_and_the_batch_is_on_file_row_by_row(tmp_path):
    with pytest.raises(UserError, match=f"training stopped at step {BAD}: .*bad_batches/step-{BAD}.json") as caught:
        start(tmp_path, options=LONG, spoil={BAD})
    assert "\n" not in str(caught.value)
    saved = json.loads((tmp_path / "bad_batches" / f"step-{BAD}.json").read_text())
    assert saved["loss"] == "nan"
    assert [row["id"] in str(caught.value) for row in saved["rows"]] == [True] * 3
    known = {example.id: list(example.input_ids) for example in make_examples(N_EXAMPLE)}
    assert all(row["input_ids"] == known[row["id"]] for row in saved["rows"])
    assert checkpoint.found(tmp_path) == [4, 8]  # the last good states are kept


def test_a_batch_that_is_left_out_changes_nothing(tmp_path):
    """The weights are those before it: a training of which nothing but later steps differ."""
    ran, history, weights = start(tmp_path / "skipped", options=of("skip"), spoil={BAD})
    assert ran == list(range(16))
    assert [entry["step"] for entry in history.entries] == [step for step in range(16) if step != BAD]
    (said,) = history.mishaps
    assert said.startswith(f"the batch of step {BAD} was left out: the ")
    _, untouched, _ = start(tmp_path / "untouched", options=LONG)
    assert timeless(history.entries[:BAD]) == timeless(untouched.entries[:BAD])
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_rolling_back_leaves_out_the_batches_from_a_checkpoint_to_the_bad_one(tmp_path):
    ran, history, _ = start(tmp_path / "back", options=of("roll_back"), spoil={BAD})
    assert ran == [*range(12), *range(12, 16)]
    assert [entry["step"] for entry in history.entries] == [*range(8), *range(12, 16)]
    assert history.mishaps[0].startswith("the batches of steps 8 to 11 were left out")
    with pytest.raises(Stopped):
        start(tmp_path / "plain", options=LONG, stop_at=8)
    held = json.loads((tmp_path / "plain" / "metrics.jsonl").read_text().splitlines()[7])
    assert timeless(history.entries)[7] == timeless([held])[0]


def test_trouble_right_after_going_back_goes_back_further(tmp_path):
    _, history, _ = start(tmp_path, options=of("roll_back"), spoil={BAD, 12})
    assert [entry["step"] for entry in history.entries] == [*range(4), *range(13, 16)]


@pytest.mark.parametrize("policy", ["skip", "roll_back"])
@pytest.mark.parametrize("stop_at", [7, 12])
def test_a_stopped_training_leaves_out_the_same_batches(policy, stop_at, tmp_path):
    spoil = {5, BAD}
    _, expected, weights = start(tmp_path / "whole", options=of(policy), spoil=spoil)
    with pytest.raises(Stopped):
        start(tmp_path / "stopped", options=of(policy), spoil=spoil, stop_at=stop_at)
    _, found, resumed = start(tmp_path / "stopped", options=of(policy), spoil=spoil)
    assert timeless(found.entries) == timeless(expected.entries)
    assert found.mishaps == expected.mishaps
    assert equal(resumed, weights)


def test_a_state_that_was_given_up_is_not_gone_on_from(tmp_path):
    """A kill between the decision to go back and the deletion of checkpoints behind it."""
    _, expected, weights = start(tmp_path / "whole", options=of("roll_back"), spoil={BAD})
    with pytest.raises(Stopped):
        start(tmp_path / "killed", options=LONG.model_copy(update={"checkpoint_every": 5}), stop_at=10)
    mishaps = json.loads((tmp_path / "whole" / "mishaps.json").read_text())
    (tmp_path / "killed" / "mishaps.json").write_text(json.dumps(mishaps))
    _, found, resumed = start(tmp_path / "killed", options=of("roll_back"), spoil={BAD})
    assert timeless(found.entries) == timeless(expected.entries)
    assert equal(resumed, weights)


def test_a_jump_of_the_loss_is_trouble_only_where_that_is_asked(tmp_path):
    _, history, _ = start(tmp_path / "off", options=of("skip"), spoil={BAD}, factor=1000.0)
    assert history.mishaps == []
    _, history, _ = start(tmp_path / "on", options=of("skip", spike_factor=20), spoil={BAD}, factor=1000.0)
    assert history.mishaps[0].startswith(f"the batch of step {BAD} was left out: the loss jumped to ")


def test_before_a_few_steps_nothing_is_a_jump(tmp_path):
    early = FEWEST - 1
    _, history, _ = start(tmp_path, options=of("skip", spike_factor=20), spoil={early}, factor=1000.0)
    assert history.mishaps == []


def test_too_many_mishaps_stop_training(tmp_path):
    with pytest.raises(UserError, match=f"after batches had been left out {MOST} times"):
        start(tmp_path, options=of("skip"), spoil=range(2, 16))


def test_policies_that_are_unchanged_leave_stored_configurations_as_they_were():
    assert not {"on_trouble", "spike_factor"} & TrainingOptions().model_dump().keys()
    assert TrainingOptions(on_trouble="skip").model_dump()["on_trouble"] == "skip"
