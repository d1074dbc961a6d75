"""A run with a teacher cache: the blocks are out of memory while it trains, a kill costs little, mistakes are named."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from tiny_run import config_of

from semalign import pipeline
from semalign.artifacts import read_json
from semalign.config import Run
from semalign.errors import UserError
from semalign.methods.semalign import SemAlign
from semalign.models import load
from semalign.models.released import released
from semalign.progress import Reporter

TRAINING = {"epochs": 2, "batch_size": 10, "learning_rate": 0.01, "diagnose_every": 2, "lora": {"rank": 2}}
METHOD = {"name": "semalign", "pairing": "depth", "outputs": ["kl"], "schedule": "frontier"}


def config(world, *, epochs=3, **changes):
    training = {**TRAINING, "epochs": epochs}
    return config_of(
        world, **({"tasks": ("names",), "name": "cached", "training": training, "method": METHOD} | changes)
    )


def run(config, out):
    return pipeline.run(config, out, reporter=Reporter(quiet=True), pages=False)


def losses(folder, name="semalign"):
    lines = (folder / "train" / name / "metrics.jsonl").read_text("utf-8").splitlines()
    return [entry["loss"] for entry in map(json.loads, lines)]


@pytest.mark.slow
def test_a_run_from_the_cache_is_the_run_with_the_teacher(world, monkeypatch):
    sizes = []
    fit = SemAlign.fit

    def watched(self, context, plan, adapter, given):
        sizes.append(sum(p.numel() for block in context.teacher.blocks for p in block.parameters()))
        return fit(self, context, plan, adapter, given)

    monkeypatch.setattr(SemAlign, "fit", watched)
    online = run(config(world), world / "online")
    cached = run(config(world, cache={"states": "float32"}), world / "cached")
    assert sizes[0] > sizes[1] == 0
    assert losses(cached) == pytest.approx(losses(online), rel=1e-4)
    records = [read_json(folder / "record.json") for folder in (online, cached)]
    # the probe while it trains needs the teacher's head alone
    for a, b in zip(*(record["training"]["semalign"] for record in records), strict=True):
        assert a.get("probe", {}).keys() == b.get("probe", {}).keys()
    models = [{model["key"]: model for model in record["models"]} for record in records]
    read = [model["semalign"]["teacher_tokens"] for model in models]
    assert read[1] < read[0]
    facts = read_json(cached / "train" / "semalign" / "cache.json")
    assert (facts["rows"], facts["rows_found"]) == (20, 0)
    stages = {cost["stage"]: cost for cost in records[1]["costs"]}
    assert stages["cache semalign"]["teacher_tokens"] == facts["teacher_tokens"] > 0
    assert not (cached / "cache" / "semalign").exists()  # done with
    assert records[1]["diagnostics"]["semalign"]["cka"]  # the blocks are back


@pytest.mark.slow
def test_runs_share_a_folder(world):
    common = {"cache": {"folder": "shared"}, "epochs": 3}
    first = run(config(world, **common), world / "first")
    second = run(config(world, seed=0, name="another", **common), world / "second")
    facts = [read_json(folder / "train" / "semalign" / "cache.json") for folder in (first, second)]
    assert [fact["rows_found"] for fact in facts] == [0, 20]
    assert facts[0]["folder"] == facts[1]["folder"]
    assert facts[1]["teacher_tokens"] == 0
    assert losses(first) == losses(second)
    assert list((world / "shared").iterdir())


KILLED = """
import sys
from semalign import pipeline
from semalign.methods import teacher_cache
from semalign.progress import Reporter
teacher_cache.SHARD_ROWS = 3
write = teacher_cache.Shards.write
def slow(shards, rows):
    write(shards, rows)
    print("written", flush=True)
    sys.stdin.readline()
teacher_cache.Shards.write = slow
pipeline.run(sys.argv[1], sys.argv[2], reporter=Reporter(quiet=True), pages=False)
"""


@pytest.mark.slow
def test_a_run_killed_while_it_caches_goes_on_with_the_shards_that_are_there(world):
    path = config(world, name="killed", cache={"states": "float32"})
    out = world / "killed"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin
    assert child.stdout
    for _ in range(2):
        assert child.stdout.readline() == "written\n"
        child.stdin.write("\n")
        child.stdin.flush()
    assert child.stdout.readline() == "written\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    shards = {p: p.stat().st_mtime_ns for p in (out / "cache" / "semalign").rglob("*.safetensors")}
    assert len(shards) == 3
    started = time.time_ns()
    monkey = pytest.MonkeyPatch()
    kept = {}
    fit = SemAlign.fit

    def watched(self, context, plan, adapter, given):
        kept.update({p: p.stat().st_mtime_ns for p in shards})
        return fit(self, context, plan, adapter, given)

    with monkey.context() as patch:
        patch.setattr(SemAlign, "fit", watched)
        run(path, out)
    assert kept == shards
    assert all(written < started for written in kept.values())
    assert losses(out) == losses(run(config(world, name="whole", cache={"states": "float32"}), world / "whole"))
    facts = read_json(out / "train" / "semalign" / "cache.json")
    assert facts["rows_found"] == 0  # this run computed all of them, in two starts


def test_released_blocks_take_no_memory_and_come_back(world):
    teacher = load(str(world / "teacher"))
    before = {name: p.detach().clone() for name, p in teacher.module.named_parameters()}
    with released(teacher, lambda: load(str(world / "teacher"))):
        assert not sum(p.numel() for block in teacher.blocks for p in block.parameters())
        assert torch.equal(teacher.head_weight, before["lm_head.weight"])
    assert all(torch.equal(p, before[name]) for name, p in teacher.module.named_parameters())


def test_weights_that_changed_while_they_were_released_are_found(world):
    teacher = load(str(world / "teacher"))

    def changed():
        again = load(str(world / "teacher"))
        again.module.get_parameter("model.layers.1.mlp.up_proj.weight").data[0, 0] += 0.5
        return again

    with pytest.raises(UserError, match="its weights changed while the run went on"), released(teacher, changed):
        pass


def values(**changes):
    data = {"tasks": [{"name": "names", "folder": "names"}]}
    return {"name": "x", "teacher": "./teacher", "student": "./student", "data": data, "method": "semalign"} | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "sft", "cache": {}}, "cache: none of the methods (sft) can follow a teacher from disk"),
        ({"method": "gkd", "controls": ["laten"], "cache": {}}, "cache: none of the methods (laten, gkd) can follow"),
        ({"cache": {"top_k": 8}}, "cache: 'top_k' has no effect"),
        ({"method": "logit_kd", "cache": {"top_k": 8}}, "cache: 'top_k' keeps the teacher's 8 likeliest tokens, but"),
        ({"cache": {"sates": "int8"}}, "'cache' takes no 'sates'. Did you mean 'states'?"),
        ({"cache": {"states": "int4"}}, "cache.states: "),
        ({"cache": {"limit_gb": 0}}, "cache.limit_gb: "),
    ],
)
def test_what_makes_no_sense_is_named(changes, message):
    with pytest.raises(UserError) as error:
        Run.make(values(**changes))
    assert str(error.value).startswith(f"configuration: {message}")


def test_a_run_with_a_cache_is_its_own_plain_values():
    made = Run.make(values(cache={"states": "int8", "folder": "x"}))
    assert Run.make(made.plain()).plain() == made.plain()
    assert Run.make(values()).cache is None
