"""A whole run on a tiny pair: what it writes, what it repeats, and that its student is anybody's."""

import json
import subprocess
import sys

import pytest
import yaml
from safetensors.torch import load_file
from tiny_run import TASKS, config_of

from semalign import pipeline
from semalign.artifacts import read_json
from semalign.config import Run
from semalign.errors import UserError
from semalign.progress import Reporter

pytestmark = pytest.mark.slow  # each run of all stages takes seconds

SPLITS = {"train", "validation", "extract", "align", "test"}


def run(config, out, **options):
    return pipeline.run(config, out, reporter=Reporter(quiet=True), **options)


@pytest.fixture(scope="module")
def full(world):
    """Three kinds of tasks and an adapted teacher."""
    return run(config_of(world, teacher={"model": "./teacher", "adapt": True}, name="full"), world / "full")


@pytest.fixture(scope="module")
def small(world):
    """One task, four steps a method."""
    return run(small_config(world), world / "small")


def small_config(world, **changes):
    training = {"epochs": 2, "batch_size": 10, "learning_rate": 0.01, "lora": {"rank": 2}}
    return config_of(world, **({"tasks": ("names",), "name": "small", "training": training} | changes))


def student(folder):
    return (folder / "student" / "model.safetensors").read_bytes()


# what is written


def test_all_files_of_a_run_are_there(full):
    files = {str(path.relative_to(full)) for path in full.rglob("*") if path.is_file()}
    models = ["student", "sft", "semalign", "teacher", "teacher_adapted"]
    assert files >= {"config.yaml", "environment.json", "status.json", "record.json", "summary.json"}
    assert files >= {"report.md", "report.html", "adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
    assert files >= {"student/config.json", "student/model.safetensors", "student/tokenizer.json"}
    assert files >= {f"eval/{model}/{task}.json" for model in models for task in TASKS}
    assert files >= {f"train/{model}/metrics.jsonl" for model in ("sft", "semalign", "teacher_adapted")}
    assert files >= {"prepare/semalign/plan.json", "prepare/semalign/maps.safetensors", "prepare/sft/plan.json"}
    assert files >= {f"diagnostics/{model}.json" for model in ("student", "sft", "semalign")}
    assert not [name for name in files if name.endswith(".part")]
    assert read_json(full / "status.json")["status"] == "done"


def test_the_summary_has_the_promised_shape(small):
    summary = read_json(small / "summary.json")
    assert summary.keys() == {"tasks", "mean_gap", "seconds", "peak_bytes", "versions"}
    assert summary["tasks"].keys() == {"names"}
    assert summary["tasks"]["names"].keys() == {"student", "sft", "semalign", "teacher"}
    assert summary["mean_gap"].keys() == {"student", "sft", "semalign"}
    assert all(0 <= score <= 1 for score in summary["tasks"]["names"].values())
    assert all(0 <= gap <= 1 for gap in summary["mean_gap"].values())
    assert summary["seconds"] > 0
    assert isinstance(summary["peak_bytes"], int)
    assert summary["peak_bytes"] > 10**6
    assert summary["versions"].keys() >= {"semalign", "torch", "transformers"}


def test_every_kind_of_task_is_in_the_summary(full):
    summary = read_json(full / "summary.json")
    assert summary["tasks"].keys() == set(TASKS)
    for scores in summary["tasks"].values():
        assert scores.keys() == {"student", "sft", "semalign", "teacher", "teacher_adapted"}
        assert all(0 <= score <= 1 for score in scores.values())


def test_the_gap_is_the_mean_distance_to_the_teacher(small):
    summary = read_json(small / "summary.json")
    for model, gap in summary["mean_gap"].items():
        scores = summary["tasks"]["names"]
        assert gap == pytest.approx(abs(scores[model] - scores["teacher"]), abs=1e-12)


def test_the_record_tells_every_number_of_the_report(full):
    record = read_json(full / "record.json")
    assert [task["name"] for task in record["tasks"]] == list(TASKS)
    assert [task["metric"] for task in record["tasks"]] == ["exact_match", "accuracy", "byte_probability"]
    assert all(task["rows"].keys() == SPLITS for task in record["tasks"])
    assert [model["key"] for model in record["models"]] == ["student", "sft", "semalign", "teacher", "teacher_adapted"]
    assert len(record["attribution"]["scores"]) == record["teacher"]["n_layer"] == 5
    assert {curve["label"].partition(",")[0] for curve in record["basis"]["curves"]} == {"teacher", "student"}
    assert [len(entries) for entries in record["training"].values()] == [3, 3]
    stages = [cost["stage"] for cost in record["costs"]]
    assert set(stages) == set(read_json(full / "status.json")["stages"])
    assert record["seconds"] == pytest.approx(sum(cost["seconds"] for cost in record["costs"]))
    assert Run.make(yaml.safe_load(record["config"])).plain() == Run.read(full / "config.yaml").plain()


def test_the_same_steps_and_rows_train_control_and_method(full):
    models = {model["key"]: model for model in read_json(full / "record.json")["models"]}
    for value in ("steps", "train_tokens"):
        assert models["sft"][value] == models["semalign"][value] > 0
    assert models["semalign"]["trainable"] < models["sft"]["trainable"]
    assert models["student"]["trainable"] == models["teacher"]["trainable"] == 0


def test_the_teacher_reads_for_the_method_and_not_for_the_control(full):
    models = {model["key"]: model for model in read_json(full / "record.json")["models"]}
    assert [models[name]["teacher_tokens"] for name in ("student", "sft", "teacher")] == [0, 0, 0]
    assert models["semalign"]["teacher_tokens"] > models["semalign"]["train_tokens"]  # the plan reads rows too
    adapted = models["teacher_adapted"]
    # the first of its three batches is read twice: gradient norms are measured on it
    assert adapted["train_tokens"] < adapted["teacher_tokens"] < 2 * adapted["train_tokens"]


# the student


ALONE = """
import json, sys
sys.modules["semalign"] = None  # any import of it fails
import torch
torch.set_num_threads(1)
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
run, base, plain = sys.argv[1:]
ids = AutoTokenizer.from_pretrained(f"{run}/student")("Name of number 3:\\n", return_tensors="pt").input_ids
merged = AutoModelForCausalLM.from_pretrained(f"{run}/student")
untouched = AutoModelForCausalLM.from_pretrained(base)
before = untouched(ids).logits
adapted = PeftModel.from_pretrained(untouched, f"{run}/adapter")
print(json.dumps({
    "same_names": sorted(merged.state_dict()) == sorted(AutoModelForCausalLM.from_pretrained(base).state_dict()),
    "type": type(merged).__name__,
    "apart": float((merged(ids).logits - adapted(ids).logits).abs().max()),
    "moved": float((merged(ids).logits - before).abs().max()),
    "ours": [name for name in sys.modules if name.startswith("semalign.")],
}))
"""


@pytest.fixture(scope="module")
def alone(small, world):
    command = [sys.executable, "-c", ALONE, str(small), str(world / "student"), "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_student_loads_where_semalign_is_not_installed(alone):
    assert alone["type"] == "LlamaForCausalLM"
    assert alone["same_names"]
    assert alone["ours"] == []


def test_student_and_adapter_are_the_same_model(alone):
    assert alone["apart"] < 1e-4  # float32 sums in another order
    assert alone["moved"] > 10 * alone["apart"]


def test_nothing_of_ours_is_in_the_students_files(small, world):
    tensors, base = (
        load_file(small / "student" / "model.safetensors"),
        load_file(world / "student" / "model.safetensors"),
    )
    assert tensors.keys() == base.keys()
    assert {name: value.shape for name, value in tensors.items()} == {name: v.shape for name, v in base.items()}
    for path in (small / "student").iterdir():
        if path.name == "README.md":  # the model card says what it was made with
            continue
        assert b"semalign" not in path.read_bytes().lower(), path.name
        assert b"lora" not in path.read_bytes().lower(), path.name


def test_only_the_planned_layer_of_the_student_is_another(small, world):
    tensors, base = (
        load_file(small / "student" / "model.safetensors"),
        load_file(world / "student" / "model.safetensors"),
    )
    changed = {name for name, value in tensors.items() if not value.equal(base[name])}
    (layer,) = read_json(small / "prepare" / "semalign" / "plan.json")["layers"]
    modules = ("mlp.up_proj", "mlp.down_proj", "self_attn.v_proj", "self_attn.o_proj")
    assert changed == {f"model.layers.{layer}.{module}.weight" for module in modules}


def test_the_adapter_names_no_folder_that_is_gone(small):
    config = read_json(small / "adapter" / "adapter_config.json")
    assert ".part" not in str(config["base_model_name_or_path"])


# repeating


def test_a_stopped_run_goes_on_to_the_same_student(world, small, monkeypatch):
    score = pipeline._score

    def interrupt(work, model, name):
        if name == "semalign":
            raise KeyboardInterrupt
        score(work, model, name)

    out = world / "stopped"
    monkeypatch.setattr(pipeline, "_score", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(small_config(world), out)
    assert read_json(out / "status.json")["status"] == "cancelled"
    assert not (out / "student").exists()
    monkeypatch.undo()

    seen = watch(monkeypatch)
    run(small_config(world), out)
    assert seen == ["evaluate", "save_plain", *["reconstruction"] * 6]  # what came before is not repeated
    assert read_json(out / "status.json")["status"] == "done"
    assert student(out) == student(small)
    assert read_json(out / "summary.json")["tasks"] == read_json(small / "summary.json")["tasks"]


def watch(monkeypatch):
    """Names of the costly functions that are called."""
    from semalign import record
    from semalign.methods import base as methods

    seen = []

    def watched(place, name):
        original = getattr(place, name)

        def call(*args, **options):
            seen.append(name)
            return original(*args, **options)

        monkeypatch.setattr(place, name, call)

    for name in ("evaluate", "save_plain"):
        watched(pipeline, name)
    for name in ("train", "lora"):
        watched(methods, name)
    watched(record, "reconstruction")
    watched(pipeline.SFT, "plan")
    return seen


def test_a_finished_run_repeats_nothing(world, full, monkeypatch):
    seen = watch(monkeypatch)
    before = {path: path.read_bytes() for path in full.rglob("*") if path.suffix in (".safetensors", ".jsonl")}
    costs = read_json(full / "stages.json")
    summary = read_json(full / "summary.json")
    run(config_of(world, teacher={"model": "./teacher", "adapt": True}, name="full"), full)
    assert seen == []
    assert read_json(full / "stages.json") == costs
    assert read_json(full / "summary.json") == summary
    assert {path: path.read_bytes() for path in before} == before


def test_a_failed_run_says_why(world, monkeypatch):
    def full_disk(*_args, **_options):
        raise UserError("no disk space left")

    monkeypatch.setattr(pipeline, "evaluate", full_disk)
    with pytest.raises(UserError, match="no disk space left"):
        run(small_config(world), world / "failed")
    status = read_json(world / "failed" / "status.json")
    assert (status["status"], status["detail"], status["stages"]) == ("failed", "no disk space left", [])


def test_another_seed_is_another_student(world, small):
    other = run(small_config(world), world / "seed", overrides=["seed=1"])
    assert student(other) != student(small)


@pytest.mark.parametrize("change", ["rows", "weights"])
def test_changed_rows_or_weights_are_refused_on_resuming(change, world, small, tmp_path_factory):
    from tiny_run import TASKS, write_model, write_rows

    config, spoilt = small_config(world), None
    if change == "rows":
        spoilt = world / "names" / "train.jsonl"
        before = spoilt.read_bytes()
        write_rows(spoilt, [TASKS["names"]["rows"](i + 50) for i in range(20)])
        expected = "rows of names"
    else:
        spoilt = world / "student" / "model.safetensors"
        before = spoilt.read_bytes()
        write_model(world / "student", n_layer=3, width=16, seed=9)
        expected = "the student's weights"
    try:
        with pytest.raises(UserError, match=f"{expected} changed since this run began; choose another --out"):
            run(config, small)
    finally:
        spoilt.write_bytes(before)
    assert read_json(small / "status.json")["status"] == "done"


# other shapes of a run


def test_an_adapted_teacher_has_its_own_row_and_the_untouched_ones_stays(full, small):
    scores = {
        name: read_json(full / "eval" / name / "names.json")["row_bits"] for name in ("teacher", "teacher_adapted")
    }
    assert scores["teacher"] == read_json(small / "eval" / "teacher" / "names.json")["row_bits"]
    assert sum(scores["teacher_adapted"]) < sum(scores["teacher"])
    record = read_json(full / "record.json")
    assert record["reference"] == "teacher_adapted"
    labels = {model["key"]: model["role"] for model in record["models"]}
    assert labels["teacher"] == labels["teacher_adapted"] == "teacher"


def test_a_student_that_is_deeper_and_wider_works_and_the_record_says_so(world):
    config = small_config(world, teacher="./student", student="./teacher", name="upside-down")
    out = run(config, world / "upside-down")
    assert read_json(out / "status.json")["status"] == "done"
    warnings = [w for w in read_json(out / "record.json")["warnings"] if "deeper or wider than the teacher" in w]
    assert len(warnings) == 1
    assert "5 layers x 24" in warnings[0]
    plan = read_json(out / "prepare" / "semalign" / "plan.json")
    assert plan["pairs"]
    assert load_file(out / "prepare" / "semalign" / "maps.safetensors")["0.matrix"].shape == (24, 16)


def test_fine_tuning_alone_is_a_run_too(world):
    out = run(small_config(world, method="sft", controls=[], name="alone"), world / "alone")
    summary = read_json(out / "summary.json")
    assert summary["tasks"]["names"]["sft"] is not None
    assert summary["tasks"]["names"]["semalign"] is None
    record = read_json(out / "record.json")
    assert (record["attribution"], record["pairing"], record["basis"]) == (None, None, None)
    assert (out / "student" / "model.safetensors").exists()
    assert (out / "report.html").stat().st_size > 1000


def test_a_control_under_its_own_name_is_trained_as_it_says(world):
    controls = {"low": {"name": "sft", "layers": [0]}}
    out = run(small_config(world, controls=controls, name="named"), world / "named")
    assert read_json(out / "prepare" / "low" / "plan.json")["layers"] == [0]
    assert "low" in read_json(out / "summary.json")["tasks"]["names"]
