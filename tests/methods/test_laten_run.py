"""LaTen in a whole run on the tiny pair: its files, a stop, and what a comparison reads of it."""

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import config_of

from semalign import pipeline
from semalign.artifacts import read_json
from semalign.compare.measured import read_run
from semalign.progress import Reporter

pytestmark = pytest.mark.slow  # a run of all stages takes seconds

METHOD = {"name": "laten", "learning_rate": 0.01, "batch_size": 4, "share": 0.2, "held_out": 0.5}
CONTROLS = {"sft": "sft", "random": {**METHOD, "neurons": "random"}}


def run(config, out):
    return pipeline.run(config, out, reporter=Reporter(quiet=True))


@pytest.fixture(scope="module")
def config(world):
    return config_of(world, tasks=("names",), name="laten", method=METHOD, controls=CONTROLS)


@pytest.fixture(scope="module")
def whole(world, config):
    return run(config, world / "whole")


def test_the_run_says_what_each_step_measured_and_which_was_kept(whole):
    history = read_json(whole / "train" / "laten" / "history.json")
    assert (history["n_step"], history["n_trainable"]) == (4, 4 * (24 * 24 + 24 * 16))
    held = [history["entries"][0]["held_out_untouched"], *(entry["held_out"] for entry in history["entries"])]
    best = min(range(5), key=held.__getitem__)
    assert [entry["kept"] for entry in history["entries"]] == [step + 1 == best for step in range(4)]
    assert (whole / "train" / "laten" / "metrics.jsonl").read_text().count("\n") == 4
    assert "LATEN" in (whole / "report.html").read_text()


def test_only_located_rows_and_columns_of_the_student_are_others(world, whole):
    base, after = load_file(world / "student" / "model.safetensors"), load_file(whole / "student" / "model.safetensors")
    assert base.keys() == after.keys()
    counts = {"up_proj": (0, 6), "down_proj": (1, 6), "v_proj": (0, 3), "o_proj": (1, 3)}  # a fifth of 32 and of 16
    for name, value in base.items():
        changed = after[name] != value
        module = name.split(".")[-2]
        if module in counts and ".layers." in name:
            side, most = counts[module]
            assert 0 < int(changed.any(1 - side).sum()) <= most, name
        else:
            assert not changed.any(), name


def test_a_comparison_reads_what_it_cost(whole):
    models = {one.name: one for one in read_run(whole)}
    assert models.keys() >= {"student", "sft", "random", "laten", "teacher"}
    for name in ("random", "laten"):
        facts = models[name].facts
        assert (facts["steps"], facts["trainable"]) == (4, 3840)
        assert facts["train_tokens"] > 0
        assert facts["seconds"] > 0
        assert set(models[name].scores) == {"names"}


def test_a_stopped_run_goes_on_to_the_same_student(world, config, whole, monkeypatch):
    score = pipeline._score

    def interrupt(work, model, name):
        if name == "laten":
            raise KeyboardInterrupt
        score(work, model, name)

    monkeypatch.setattr(pipeline, "_score", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(config, world / "stopped")
    monkeypatch.undo()
    out = run(config, world / "stopped")
    for name in ("student/model.safetensors", "adapter/adapter_model.safetensors"):
        found, expected = load_file(out / name), load_file(whole / name)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in found)
    assert read_json(out / "summary.json")["tasks"] == read_json(whole / "summary.json")["tasks"]
