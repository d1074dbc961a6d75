"""Whole runs of the three distillations on a tiny pair: what they leave behind, and a run that was stopped goes on."""

from contextlib import contextmanager

import pytest
from safetensors.torch import load_file
from tiny_run import config_of

from semalign import pipeline
from semalign.artifacts import read_json
from semalign.progress import Reporter

pytestmark = pytest.mark.slow  # each run of all stages takes seconds

METHODS = {
    "gkd": {"name": "gkd", "temperature": 0.9},
    "hidden_kd": {"name": "hidden_kd", "pairing": "one_per_layer"},
    "jsd": {"name": "logit_kd", "outputs": ["cross_entropy", {"name": "jsd", "beta": 0.1, "top_k": 9}]},
}


def config(world, main="gkd", **changes):
    controls = {name: method for name, method in METHODS.items() if name != main}
    training = {"epochs": 2, "batch_size": 10, "learning_rate": 0.01, "checkpoint_every": 1, "lora": {"rank": 2}}
    values = {"tasks": ("names",), "name": f"kd-{main}", "method": METHODS[main], "controls": controls}
    return config_of(world, **(values | {"training": training} | changes))


def run(given, out, reporter=None):
    return pipeline.run(given, out, reporter=reporter or Reporter(quiet=True))


class Stopping(Reporter):
    """Stands for somebody who stops the run after the third step of its training."""

    @contextmanager
    def stage(self, name, n_unit=None):
        with super().stage(name, n_unit) as advance:

            def count(done, total):
                advance(done, total)
                if name.startswith("training") and done == 3:
                    raise KeyboardInterrupt

            yield count


@pytest.fixture(scope="module")
def done(world):
    return run(config(world), world / "kd")


def test_a_run_trains_all_three_and_leaves_plain_adapters(done):
    assert (done / "report.html").exists()
    record = read_json(done / "record.json")
    models = {model["key"]: model for model in record["models"]}
    assert {model["label"] for model in models.values()} >= {"GKD", "hidden KD"}
    for name in METHODS:
        tensors = load_file(done / "train" / name / "adapter" / "adapter_model.safetensors")
        assert all("lora_" in tensor for tensor in tensors)
        assert all(tensor.isfinite().all() for tensor in tensors.values())
        assert models[name]["steps"] == 4
    n_adapter = sum(tensor.numel() for tensor in tensors.values())
    assert models["gkd"]["trainable"] == models["jsd"]["trainable"] == n_adapter
    assert models["hidden_kd"]["trainable"] == n_adapter + 3 * 16 * 24
    assert len(read_json(done / "prepare" / "hidden_kd" / "plan.json")["pairs"]) == 3


def test_hidden_distillation_as_the_main_method_shows_its_pairs_without_a_map(world):
    folder = run(config(world, main="hidden_kd"), world / "kd-hidden")
    record = read_json(folder / "record.json")
    assert record["pairing"]["name"] == "one_per_layer"
    assert record["attribution"]["name"] == "gradient_x_activation"
    assert record["basis"] is None
    assert (folder / "student" / "model.safetensors").exists()


@pytest.mark.parametrize("main", ["gkd", "hidden_kd"])
def test_a_run_stopped_while_it_trains_ends_with_the_same_student(world, main):
    """The projectors, and which batches are sampled, go on from where they were."""
    values = {"main": main, "controls": {}}
    whole = run(config(world, **values), world / f"whole-{main}")

    out = world / f"stopped-{main}"
    with pytest.raises(KeyboardInterrupt):
        run(config(world, **values), out, Stopping(quiet=True))
    assert (out / "train" / main / "checkpoint-3").exists()
    run(config(world, **values), out)
    for name in ("adapter/adapter_model.safetensors", "student/model.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
