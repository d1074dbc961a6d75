"""A disk that is full or closed from a random moment on, and files that it has damaged.

The error is raised at the edge of the system call (Python's audit hook), so every place that writes is met.
"""

import errno
import json
import random
import signal

import faulty
import pytest
from same_run import Standing, assert_same

pytestmark = pytest.mark.slow

LINES = {errno.ENOSPC: "no disk space left", errno.EROFS: "cannot be written (Read-only file system)"}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("error", LINES)
def test_a_disk_that_refuses_gets_one_line_and_the_last_good_state_stays(error, seed, whole, tmp_path):
    draw, out, log = random.Random(f"disk {error} {seed}"), tmp_path / "run", tmp_path / "log.json"
    first = next(i for i, change in enumerate(whole.changes, start=1) if "environment.json" in change)
    at = draw.randint(first, len(whole.changes) - 10)  # before status.json says that all is done
    assert faulty.finish(whole.config, out, log, faulty.Fault(at, error=error)) == 2
    said = (tmp_path / "log.json.err").read_text()
    assert "Traceback" not in said
    assert LINES[error] in said.splitlines()[-1]
    assert json.loads((out / "status.json").read_text())["status"] == "failed"
    before = Standing(out)
    assert faulty.finish(whole.config, out, log) == 0, (tmp_path / "log.json.err").read_text()
    before.assert_kept()
    assert_same(out, whole.folder)


@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_damaged_checkpoint_costs_a_step_and_is_said_in_the_report(how, whole, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log.json"
    metrics = f"open {whole.folder / 'train' / 'sft' / 'metrics.jsonl'}"
    sixth = [number for number, change in enumerate(whole.changes, start=1) if change == metrics][5]
    assert faulty.finish(whole.config, out, log, faulty.Fault(sixth)) == -signal.SIGKILL
    assert Standing(out).steps["sft"] == 5
    file = out / "train" / "sft" / "checkpoint-5" / "optimizer.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content[: len(content) // 2] if how == "cut" else content)
    assert faulty.finish(whole.config, out, log) == 0
    said = "sft: checkpoint-5 was damaged; training went on from the last good state before it"
    assert f"warning: {said}" in (tmp_path / "log.json.err").read_text()
    assert said in json.loads((out / "record.json").read_text())["warnings"]
    assert said in (out / "report.md").read_text()
    taken = json.loads(log.read_text()).count(f"open {out / 'train' / 'sft' / 'metrics.jsonl'}")
    assert taken == whole.steps - 4
    for name in ("train/sft/adapter/adapter_model.safetensors", "student/model.safetensors"):
        assert (out / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_flipped_byte_in_the_teacher_cache_is_repaired_and_said(whole, tmp_path):
    out, log = tmp_path / "run", tmp_path / "log.json"
    metrics = f"open {whole.folder / 'train' / 'semalign' / 'metrics.jsonl'}"
    at = whole.changes.index(metrics) + 1
    assert faulty.finish(whole.config, out, log, faulty.Fault(at)) == -signal.SIGKILL
    (file,) = (out / "cache" / "semalign").rglob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    assert faulty.finish(whole.config, out, log) == 0
    assert f"warning: {file}: damaged; its rows are computed anew" in (tmp_path / "log.json.err").read_text()
    assert (out / "student/model.safetensors").read_bytes() == (whole.folder / "student/model.safetensors").read_bytes()
