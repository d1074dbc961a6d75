"""`semalign eval`, killed in the middle of a benchmark and started again, asks only for what is left."""

import os
import signal
import subprocess
import sys
import time

import pytest
from made_files import write_files

from semalign.evaluation.benchmarks import Options, evaluate_model
from semalign.evaluation.memory import Memory
from semalign.progress import Reporter

MODEL, BATCH = "embedded:student", 2
VERB = [sys.executable, "-c", "from semalign.cli import main; main()", "eval", MODEL]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("made"))


def kill_in_the_middle(task, limit, made, out) -> int:
    """Start the verb, kill it once some answers are kept, and say how many are."""
    given = ["--tasks", task, "--data", made, "--limit", limit, "--batch-size", BATCH, "--out", out]
    child = subprocess.Popen([*VERB, *map(str, given)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    answers = out / f"{task}.answers.jsonl"
    deadline = time.monotonic() + 120
    while not (answers.exists() and answers.read_bytes().count(b"\n") >= 3 * BATCH):
        assert child.poll() is None, child.communicate()[0].decode()
        assert time.monotonic() < deadline, "no answers in two minutes"
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert not (out / f"{task}.json").exists(), "finished before the kill: the test needs more rows"
    with answers.open("ab") as lines:
        lines.write(b'["half a li')  # what a kill inside a write leaves
    return answers.read_bytes().count(b"\n")


@pytest.mark.slow
@pytest.mark.parametrize(("task", "limit"), [("mmlu", 60), ("gsm8k", 20)])
def test_a_killed_evaluation_goes_on_and_ends_as_one_that_was_not(task, limit, made, tmp_path, monkeypatch):
    n_request = limit * (4 if task == "mmlu" else 1)
    n_kept = kill_in_the_middle(task, limit, made, tmp_path / "killed")
    assert 0 < n_kept < n_request
    asked = []
    keep = Memory.keep
    monkeypatch.setattr(Memory, "keep", lambda self, key, answer: asked.append(key) or keep(self, key, answer))

    def evaluated(out):
        asked.clear()
        told = Options(tasks=(task,), data=made, limit=limit, batch_size=BATCH)
        return evaluate_model(MODEL, told, out, Reporter(quiet=True))[task]

    resumed = evaluated(tmp_path / "killed")
    assert len(asked) == len(set(asked)) == n_request - n_kept
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [
        ".lock",
        "evaluation.json",
        f"{task}.json",
    ]
    whole = evaluated(tmp_path / "whole")
    assert len(asked) == n_request
    assert (resumed.score, resumed.outcomes, resumed.ids) == (whole.score, whole.outcomes, whole.ids)
    for a, b in zip(resumed.samples, whole.samples, strict=True):
        # Other batches after the kill round their sums otherwise.
        assert a.pop("nats", []) == pytest.approx(b.pop("nats", []), abs=1e-4)
        assert a == b
    assert evaluated(tmp_path / "killed").outcomes == whole.outcomes
    assert not asked
