"""SIGKILL at random moments, then the same command again: the same bits, nothing done twice, nothing left behind.

SEMALIGN_KILLS and SEMALIGN_KILL_SEED choose how many and which; `make fault` makes 100.
"""

import json
import os
import random
import signal
import time

import faulty
import pytest
from same_run import Standing, assert_same

N_KILL = int(os.environ.get("SEMALIGN_KILLS", "20"))
FIRST = int(os.environ.get("SEMALIGN_KILL_SEED", "0"))
AT_ONCE = 4  # kills of one run before it may end

pytestmark = pytest.mark.slow


def killed(draw, whole, out, log):
    """Kill a run at a random moment of what is left of it, by the clock or at the edge of a change; in words how."""
    kind = draw.choice(["clock", "edge", "cut"])
    left = 1 - len(Standing(out).stages) / len(Standing(whole.folder).stages)
    if kind == "clock":
        delay = draw.uniform(0, whole.seconds * max(left, 0.5))  # half of the time goes into loading
        process = faulty.start(whole.config, out, log)
        process.join(delay)
        process.kill()
        process.join()
        return process.exitcode, f"after {delay:.2f} s"
    at = draw.randint(1, int(len(whole.changes) * max(left, 0.05)))
    code = faulty.finish(whole.config, out, log, faulty.Fault(at, cut=kind == "cut"))
    return code, f"at change {at}{' with half a line written' if kind == 'cut' else ''}"


@pytest.mark.parametrize("seed", range(FIRST, FIRST + N_KILL // AT_ONCE))
def test_a_killed_run_ends_as_if_nothing_had_been(seed, whole, tmp_path):
    draw, log, survived, ended = random.Random(seed), tmp_path / "log.json", 0, 0
    while survived < AT_ONCE:
        out = tmp_path / f"run{ended}"
        before = Standing(out)
        code, how = killed(draw, whole, out, log)
        before.assert_kept()
        if code == 0:  # the moment came after the end: the next kills are those of another run
            assert_same(out, whole.folder)
            ended += 1
            continue
        assert code == -signal.SIGKILL, (tmp_path / "log.json.err").read_text()
        survived += 1
        print(f"seed {seed}: killed {how}, with {len(Standing(out).stages)} stages done")
    before = Standing(out)
    log.unlink(missing_ok=True)
    assert faulty.finish(whole.config, out, log) == 0, (tmp_path / "log.json.err").read_text()
    before.assert_kept()
    before.assert_no_step_twice(json.loads(log.read_text()), whole.steps)
    assert_same(out, whole.folder)


@pytest.mark.parametrize("work", ["rename", "rmtree", "metrics.jsonl", "record.json", "report.html", "safetensors"])
def test_a_kill_at_every_kind_of_change_is_survived(work, whole, tmp_path):
    """The last change of a kind, which random moments may not meet."""
    at = max(number for number, change in enumerate(whole.changes, start=1) if work in change)
    out, log = tmp_path / "run", tmp_path / "log.json"
    assert faulty.finish(whole.config, out, log, faulty.Fault(at)) == -signal.SIGKILL
    assert faulty.finish(whole.config, out, log) == 0, (tmp_path / "log.json.err").read_text()
    assert_same(out, whole.folder)


@pytest.mark.parametrize(("seed", "number"), [(0, signal.SIGTERM), (1, signal.SIGINT), (2, signal.SIGTERM)])
def test_a_run_that_is_asked_to_stop_says_so_and_goes_on(seed, number, whole, tmp_path):
    draw, out, log = random.Random(f"signal {seed}"), tmp_path / "run", tmp_path / "log.json"
    first = next(i for i, change in enumerate(whole.changes, start=1) if "environment.json" in change)
    at = draw.randint(first, len(whole.changes) - 10)  # before status.json says that all is done
    assert faulty.finish(whole.config, out, log, faulty.Fault(at, number)) == 130
    assert json.loads((out / "status.json").read_text())["status"] == "cancelled"
    assert "interrupted; the same command goes on from here" in (tmp_path / "log.json.err").read_text()
    before = Standing(out)
    assert faulty.finish(whole.config, out, log) == 0
    before.assert_kept()
    before.assert_no_step_twice(json.loads(log.read_text()), whole.steps)
    assert_same(out, whole.folder)


def test_a_signal_in_a_training_ends_the_step_and_saves_it(whole, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log.json"
    metrics = f"open {whole.folder / 'train' / 'sft' / 'metrics.jsonl'}"
    second = [number for number, change in enumerate(whole.changes, start=1) if change == metrics][1]
    assert faulty.finish(whole.config, out, log, faulty.Fault(second, signal.SIGTERM)) == 130
    assert Standing(out).steps["sft"] == 2
    assert len((out / "train" / "sft" / "metrics.jsonl").read_text().splitlines()) == 2
    state = json.loads((out / "train" / "sft" / "checkpoint-2" / "state.json").read_text())
    assert faulty.finish(whole.config, out, log) == 0
    stages = json.loads((out / "stages.json").read_text())
    assert stages["train sft"]["seconds"] > state["carried"]["seconds"] > 0  # what was spent before the stop counts


def test_a_second_process_is_refused_while_the_first_is_at_work(whole, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log.json"
    process = faulty.start(whole.config, out, log)
    while not (out / ".lock").exists() or not (out / ".lock").read_text():
        time.sleep(0.01)
    assert faulty.finish(whole.config, out, tmp_path / "second") == 2
    said = (tmp_path / "second.err").read_text().splitlines()
    assert said[-1].startswith(f"semalign: {out}: in use by process {process.pid} on ")
    process.kill()
    process.join()
    assert faulty.finish(whole.config, out, log) == 0  # the lock ended with its process
    assert_same(out, whole.folder)
