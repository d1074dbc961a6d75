"""Configurations: what is refused and with which line, what is filled in, and the way there and back."""

from pathlib import Path

import pytest
import yaml

from semalign.config import Run
from semalign.data import TaskSpec
from semalign.errors import UserError
from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.pairing.critical import Critical
from semalign.strategy import available

GOOD = """\
name: tiny
teacher: ./teacher
student: ./student
data:
  template: plain
  tasks:
    - {name: sums, train: train.jsonl, test: test.jsonl}
method: semalign
"""
MISTAKES = yaml.safe_load((Path(__file__).parent / "golden" / "config_errors.yaml").read_text("utf-8"))


def write(folder, text=GOOD, name="run.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refused(path, *overrides):
    with pytest.raises(UserError) as caught:
        Run.read(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: (case.get("text") or case["set"]).strip())
def test_a_mistake_gets_one_line_with_its_place_and_the_nearest_name(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, GOOD + case.get("text", ""))
    message = refused(Path("run.yaml"), *([case["set"]] if "set" in case else []))
    assert message.partition(" There are: ")[0] == case["says"]


def test_the_table_of_mistakes_is_not_a_short_one():
    assert len(MISTAKES) >= 40


def test_an_unknown_name_comes_with_all_names_there_are(tmp_path):
    message = refused(write(tmp_path), "method=semalgin")
    assert message.endswith(f"There are: {', '.join(sorted(available('method')))}")


@pytest.mark.parametrize("missing", ["name", "teacher", "student", "data", "method"])
def test_what_is_missing_is_named(missing, tmp_path):
    values = yaml.safe_load(GOOD)
    del values[missing]
    path = write(tmp_path, yaml.safe_dump(values))
    assert refused(path) == f"{path}: a run needs '{missing}'"


def test_what_is_no_configuration_file_is_refused(tmp_path):
    assert refused(tmp_path / "none.yaml") == f"{tmp_path}/none.yaml: no such configuration file"
    assert refused(tmp_path) == f"{tmp_path}: is a folder; name a YAML file in it"
    for text in ("", "- a\n- b\n", "words\n"):
        path = write(tmp_path, text)
        assert refused(path) == f"{path}: expected a mapping with teacher, student, data and method"
    path.write_bytes(b"\xff\xfe\x00")
    assert refused(path) == f"{path}: not a UTF-8 text file"


@pytest.mark.parametrize("values", [None, 3, "run.yaml", ["a"]])
def test_python_values_that_are_no_mapping_are_refused(values):
    with pytest.raises(UserError, match="expected a mapping with teacher, student, data and method, got"):
        Run.make(values)


# what a good one becomes


def test_the_defaults_are_version_one_of_the_paper(tmp_path):
    run = Run.read(write(tmp_path))
    assert run.method == SemAlign()
    assert isinstance(run.method.pairing, Critical)
    assert (run.training.epochs, run.training.batch_size, run.training.learning_rate) == (5, 64, 3e-4)
    lora = run.training.lora
    assert (lora.rank, lora.alpha, lora.dropout, lora.roles) == (16, 16, 0.05, ("up", "down", "v", "o"))


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.epochs=3", lambda run: run.training.epochs == 3),
        ("training.learning_rate=1e-3", lambda run: run.training.learning_rate == 1e-3),
        ("teacher.adapt=true", lambda run: run.teacher.adapt and run.teacher.model == "./teacher"),
        ("method.site=attn_out", lambda run: run.method == SemAlign(site="attn_out")),
        ("method=sft", lambda run: run.method == SFT()),
        ("method.pairing={name: critical, count: 2}", lambda run: run.method.pairing == Critical(count=2)),
        ("controls=[sft]", lambda run: run.controls == {"sft": SFT()}),
        ("controls={low: {name: sft, layers: [0]}}", lambda run: run.controls == {"low": SFT(layers=(0,))}),
        ("data.tasks=[gsm8k]", lambda run: run.data.tasks[0].benchmark == "gsm8k"),
        ("evaluation.split=validation", lambda run: run.evaluation.split == "validation"),
        ("name=a=b", None),
    ],
)
def test_overrides_win_over_the_file(override, value, tmp_path):
    path = write(tmp_path, GOOD + "training: {epochs: 2}\n")
    if value is None:
        assert "a=b" in refused(path, override)
    else:
        assert value(Run.read(path, [override]))


def test_the_last_override_of_a_key_wins(tmp_path):
    assert Run.read(write(tmp_path), ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["teacher.adapt=true", "teacher.revision=abc", "student.dtype=bfloat16"],
        ["method={name: semalign, pairing: {name: manual, pairs: [[0, 1]]}, loss: {name: cosine, weight: 0.5}}"],
        ["method.outputs=[cross_entropy, {name: kl, temperature: 2.0}]", "method.train=all"],
        ["controls={low: {name: sft, layers: [0, 1]}, sft: sft}", "seed=7", "training.lora.roles=[q]"],
        ["data.tasks=[mmlu, {name: a, hub: {id: o/n, splits: {test: validation}}, stop: [end], score: exact_match}]"],
    ],
)
def test_a_run_comes_back_from_its_plain_values_and_from_yaml(overrides, tmp_path):
    run = Run.read(write(tmp_path), overrides)
    assert Run(**run.plain()) == run
    again = write(tmp_path, run.to_yaml(), "again.yaml")
    assert Run.read(again) == run
    assert Run.read(again).plain() == run.plain()


def test_controls_are_trained_before_the_method(tmp_path):
    run = Run.read(write(tmp_path), ["controls={b: sft, a: sft}"])
    assert list(run.methods) == ["b", "a", "semalign"]


# places


def test_relative_models_are_relative_to_the_file(tmp_path, monkeypatch):
    (tmp_path / "here" / "mine").mkdir(parents=True)
    monkeypatch.chdir("/")
    path = write(tmp_path / "here", GOOD.replace("./student", "../other").replace("./teacher", "mine"))
    run = Run.read(path)
    assert run.model_path(run.teacher) == str(tmp_path / "here" / "mine")
    assert run.model_path(run.student) == str(tmp_path / "other")


@pytest.mark.parametrize("name", ["embedded:teacher", "org/model", "gpt2"])
def test_names_that_are_no_folder_stay_as_they_are(name, tmp_path):
    run = Run.read(write(tmp_path, GOOD.replace("./teacher", name)))
    assert run.model_path(run.teacher) == name


def test_variables_are_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_MODELS", str(tmp_path / "models"))
    text = GOOD.replace("./teacher", "$TINY_MODELS/t").replace("train.jsonl", '"${TINY_MODELS}/rows.jsonl"')
    run = Run.read(write(tmp_path, text))
    assert run.model_path(run.teacher) == str(tmp_path / "models" / "t")
    assert run.tasks[0].train == str(tmp_path / "models" / "rows.jsonl")
    assert run.tasks[0].test == "test.jsonl"


@pytest.mark.parametrize("form", ["$SEMALIGN_UNSET/x", "${SEMALIGN_UNSET}/x"])
def test_a_variable_that_is_not_set_is_named(form, tmp_path, monkeypatch):
    monkeypatch.delenv("SEMALIGN_UNSET", raising=False)
    run = Run.read(write(tmp_path, GOOD.replace("./teacher", f'"{form}"').replace("train.jsonl", f'"{form}"')))
    message = f"'{form}' needs the environment variable SEMALIGN_UNSET, which is not set"
    with pytest.raises(UserError) as caught:
        run.model_path(run.teacher)
    assert str(caught.value) == message
    with pytest.raises(UserError) as caught:
        _ = run.tasks
    assert str(caught.value) == message


def test_task_specifications_are_the_data_packages_own(tmp_path):
    assert all(isinstance(task, TaskSpec) for task in Run.read(write(tmp_path)).tasks)


@pytest.mark.parametrize("option", ["on_trouble=skip", "spike_factor=5"])
def test_a_policy_that_no_method_follows_is_refused(option, tmp_path):
    path = write(tmp_path, GOOD.replace("semalign", "laten"))
    name = option.partition("=")[0]
    assert f"training.{name}: has no effect on any of the methods (laten); leave it out" in refused(
        path, f"training.{option}"
    )
    assert Run.read(path, ["method=sft", f"training.{option}"])
