"""Several processes train as one does: the same losses and weights, whatever the rows are divided into."""

import json
import os
import signal

import pytest
import torch
from pair import PAD, adapted_step, make_context, make_examples
from processes import in_processes
from scaled import N_EXAMPLE, OPTIONS, assert_alike, measured, trained

from semalign import ranks, stopping
from semalign.methods.gkd import GKD
from semalign.methods.hidden_kd import HiddenKD
from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.strategy import build
from semalign.training import checkpoint, start_engine, train

METHODS = {
    "semalign": SemAlign(),
    "projectors": HiddenKD(),
    "balanced": SemAlign(balance=True),
    "own answers": GKD(on_policy=1.0),
    "stages": build("method", {"name": "semalign", "pairing": "depth", "schedule": "frontier", "site": "block_out"}),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_two_processes_train_as_one(method, tmp_path):
    options = OPTIONS.model_copy(update={"micro_batch_size": 4})  # the same micro-batches in one process and in two
    one = trained(tmp_path / "one", method, options)
    for found in in_processes(2, trained, tmp_path / "two", method, options):
        assert_alike(found, one)


@pytest.mark.parametrize(("n", "micro"), [(2, 1), (2, 3), (4, None), (4, 2)])
def test_accumulation_and_uneven_batches_make_no_difference(n, micro, tmp_path):
    one = trained(tmp_path / "one", SFT())
    found = in_processes(
        n, trained, tmp_path / "several", SFT(), OPTIONS.model_copy(update={"micro_batch_size": micro})
    )
    for of_rank in found:
        assert_alike(of_rank, one)
    n_forward = {len(of_rank[2]) for of_rank in found}
    assert len(n_forward) == 1, "what they send one another meets only if all run as often"


def test_processes_without_a_row_take_part(tmp_path):
    one = trained(tmp_path / "one", rows=2)
    for found in in_processes(4, trained, tmp_path / "four", rows=2):
        assert_alike(found, one)


def test_each_process_runs_a_part_of_the_rows_and_the_first_one_writes(tmp_path):
    options = OPTIONS.model_copy(update={"epochs": 1, "batch_size": N_EXAMPLE + 1, "diagnose_every": 100})
    ran = [found[2] for found in in_processes(2, trained, tmp_path, SFT(), options, rows=N_EXAMPLE + 1)]
    rows = [sorted(row for batch in of_rank for row in batch) for of_rank in ran]
    assert [len(of_rank) for of_rank in rows] == [6, 6]
    assert sorted(rows[0] + rows[1]) == sorted(example.id for example in make_examples(N_EXAMPLE + 1))
    assert len((tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()) == 1


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_stopped_training_goes_on_with_another_number_of_processes(dropout, tmp_path):
    folder, options = tmp_path / "stopped", OPTIONS.model_copy(update={"epochs": 3})
    one = trained(tmp_path / "one", options=options, dropout=dropout)
    in_processes(2, trained, folder, options=options, dropout=dropout, stop_at=2)
    assert checkpoint.found(folder)[-1] == 2
    trained(folder, options=options, dropout=dropout, stop_at=4)
    found = in_processes(2, trained, folder, options=options, dropout=dropout)
    assert [entry["step"] for entry in found[0][0]] == [entry["step"] for entry in one[0]]
    assert all(torch.equal(found[0][1][name], found[1][1][name]) for name in one[1])
    if not dropout:
        assert_alike(found[1], one)


def test_with_dropout_two_processes_go_on_bit_for_bit(tmp_path):
    whole = in_processes(2, trained, tmp_path / "whole", dropout=0.3)
    in_processes(2, trained, tmp_path / "stopped", dropout=0.3, stop_at=2)
    resumed = in_processes(2, trained, tmp_path / "stopped", dropout=0.3)
    assert all(torch.equal(resumed[1][1][name], weight) for name, weight in whole[1][1].items())
    assert measured(resumed[0][0]) == measured(whole[0][0])


def interrupted(folder):
    """The steps that were done when the second of the processes was asked to stop during the second step."""
    done = []

    def advance(step):
        done.append(step)
        if step == 1 and ranks.rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    _, _, step = adapted_step(SFT(), make_context())
    with stopping.listening(), pytest.raises(KeyboardInterrupt):
        train(step, make_examples(N_EXAMPLE), OPTIONS, pad_id=PAD, seed=4, folder=folder, advance=advance)
    return done


def test_when_one_process_is_asked_to_stop_all_save_and_stop_at_one_step(tmp_path):
    assert in_processes(2, interrupted, tmp_path) == [[1, 2], [1, 2]]
    assert checkpoint.found(tmp_path)[-1] == 2


def shared():
    """What processes tell one another."""
    engine = start_engine(torch.device("cpu"))
    rank = ranks.rank()
    return {
        "share": ranks.share(range(5)),
        "from_first": ranks.from_first(f"of {rank}"),
        "gathered": ranks.gathered(rank),
        "summed": ranks.summed({"a": rank + 0.5, "b": 1.0}, engine.device),
        "spread": ranks.spread(lambda part: [10 * item + rank for item in part], range(5)),
        "any_of": [ranks.any_of(rank == 1), ranks.any_of(False)],
    }


def test_what_processes_tell_one_another():
    first, second = in_processes(2, shared)
    assert (first.pop("share"), second.pop("share")) == ([0, 2, 4], [1, 3])
    both = {
        "from_first": "of 0",
        "gathered": [0, 1],
        "summed": {"a": 2.0, "b": 2.0},
        "spread": [0, 11, 20, 31, 40],
        "any_of": [True, False],
    }
    assert first == second == both
    assert json.dumps(ranks.gathered(7)) == "[7]"
