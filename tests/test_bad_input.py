"""What bad input gets: one clear line, exit code 2, nothing written and nothing overwritten."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from terminal import semalign
from tiny_run import TASKS, config_of, make_tokenizer, write_model, write_rows, write_world
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def world(pristine, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(pristine, tmp_path / "world")


@pytest.fixture
def say(monkeypatch, capfd):
    return lambda *arguments: semalign(monkeypatch, capfd, *arguments)


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def spoil_lines(path, number, text):
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")


def no_weights(world):
    (world / "student" / "model.safetensors").unlink()
    return f"{world}/student: no safetensors weights; put model.safetensors beside config.json"


def cut_weights(world):
    path = world / "student" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return f"{path}: corrupt or truncated safetensors"


def damaged_header(world):
    path = world / "student" / "model.safetensors"
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])
    return f"{path}: corrupt or truncated safetensors"


def nan_weights(world):
    path = world / "teacher" / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.2.mlp.up_proj.weight"][3, 1] = math.nan
    save_file(tensors, path, {"format": "pt"})
    return f"{world}/teacher: weight model.layers.2.mlp.up_proj.weight holds NaN or infinite values"


def missing_weight(world):
    path = world / "teacher" / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, path, {"format": "pt"})
    return f"{world}/teacher: weight model.layers.2.mlp.up_proj.weight is not in the files"


def no_model(world):
    shutil.rmtree(world / "student")
    return f"{world}/student: no such folder"


def no_config_of_a_model(world):
    (world / "student" / "config.json").unlink()
    return f"{world}/student: has no config.json"


def tokenizer_with_too_many_tokens(world):
    words = {f"w{i}": i for i in range(500)}
    core = Tokenizer(models.WordLevel({"<pad>": 500, "<eos>": 501, **words}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>").save_pretrained(
        world / "student"
    )
    return f"{world}/student: the tokenizer is not this model's: 502 tokens but"


def no_rows(world):
    (world / "sums" / "train.jsonl").unlink()
    return f"{world}/sums: no train.jsonl in it"


def no_task_folder(world):
    shutil.rmtree(world / "sums")
    return f"{world}/sums: no such folder"


def empty_split(world):
    (world / "sums" / "test.jsonl").write_text("\n")
    return f"{world}/sums/test.jsonl: no rows; expected one JSON object a line"


def a_line_that_is_no_json(world):
    spoil_lines(world / "sums" / "train.jsonl", 17, '{"id": "x", "prompt": ')
    return f"{world}/sums/train.jsonl line 17: not valid JSON"


def a_line_without_the_answer(world):
    spoil_lines(world / "sums" / "train.jsonl", 17, '{"question": "Why?", "solution": "So."}')
    return f"{world}/sums/train.jsonl line 17: no field 'answer'; fields found: question, solution"


def a_row_without_choices(world):
    spoil_lines(world / "colours" / "test.jsonl", 3, '{"id": "bare", "prompt": "Colour?", "answer": "red"}')
    return "task 'colours', test row 'bare': score 'multiple_choice' needs the field 'choices'"


def a_row_in_two_splits(world):
    write_rows(world / "names" / "test.jsonl", [TASKS["names"]["rows"](i) for i in (30, 3)])
    return "task 'names': train row 'n3' is also test row 'n3'"


FILES = [
    no_weights,
    cut_weights,
    damaged_header,
    nan_weights,
    missing_weight,
    no_model,
    no_config_of_a_model,
    tokenizer_with_too_many_tokens,
    no_rows,
    no_task_folder,
    empty_split,
    a_line_that_is_no_json,
    a_line_without_the_answer,
    a_row_without_choices,
    a_row_in_two_splits,
]


def assert_one_line(said, begins, world, before):
    assert said.code == 2, said
    assert said.out == ""
    assert len(said.complaint) == 1, said.err
    assert said.complaint[0].startswith(f"semalign: {begins}"), said.complaint[0]
    assert snapshot(world) == before
    assert not (world / "out").exists()


@pytest.mark.parametrize("spoil", FILES, ids=lambda spoil: spoil.__name__)
def test_a_damaged_file_gets_one_line_and_nothing_is_written(spoil, world, say):
    config = config_of(world)
    begins = spoil(world)
    before = snapshot(world)
    assert_one_line(say("run", config, "--out", world / "out"), begins, world, before)


VALUES = [
    ("method={name: sft, layers: [3]}", "method 'sft': layer 3 does not exist; the student has layers 0 to 2"),
    ("method={name: sft, layers: [-1]}", "method 'sft': layer -1 does not exist; the student has layers 0 to 2"),
    ("controls={low: {name: sft, layers: [0, 9]}}", "method 'sft': layer 9 does not exist"),
    (
        "method.pairing={name: manual, pairs: [[3, 0]]}",
        "pairing 'manual': student layer 3 does not exist; the student has layers 0 to 2",
    ),
    (
        "method.pairing={name: manual, pairs: [[0, 5]]}",
        "pairing 'manual': teacher layer 5 does not exist; the teacher has layers 0 to 4",
    ),
    ("method.pairing={name: random, count: 4}", "pairing 'random': count is 4, but the student has 3 layers"),
    ("data.max_length=3", "task 'sums': max_length 3 leaves no answer in"),
    ("data.template=chat", "tokenizer "),
    ("student.model=embedded:pupil", "unknown embedded model 'pupil'"),
    ("teacher.model=$SEMALIGN_UNSET/x", "'$SEMALIGN_UNSET/x' needs the environment variable SEMALIGN_UNSET"),
    ("trainng.epochs=3", ""),
    ("training.epochs=-3", ""),
]


@pytest.mark.parametrize(("override", "begins"), VALUES, ids=[override for override, _ in VALUES])
def test_a_value_that_does_not_fit_gets_one_line_and_nothing_is_written(override, begins, world, say):
    config = config_of(world, controls=[])
    before = snapshot(world)
    said = say("run", config, "--out", world / "out", "--set", override)
    assert_one_line(said, begins or f"{config}: ", world, before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_gets_one_line(world, say):
    config = config_of(world)
    before = snapshot(world)
    said = say("run", config, "--out", world / "out", "--set", "device=cuda")
    assert_one_line(said, "device: 'cuda' was asked for, but no GPU is to be seen", world, before)


def test_a_folder_that_holds_something_else_is_left_alone(world, say):
    config, out = config_of(world), world / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    before = snapshot(world)
    assert_one_line(say("run", config, "--out", out), f"{out}: is not empty and holds no run", world, before)


def test_a_file_as_the_folder_is_left_alone(world, say):
    config, out = config_of(world), world / "mine.txt"
    out.write_text("years of work")
    before = snapshot(world)
    assert_one_line(say("run", config, "--out", out), f"{out}: is a file; give a folder as --out", world, before)


def test_a_folder_that_holds_another_run_is_left_alone(world, say):
    config, out = config_of(world), world / "held"
    from semalign.config import Run
    from semalign.run_folder import RunFolder

    RunFolder.open(out, Run.read(config, ["seed=5"]).plain())
    before = snapshot(world)
    begins = f"{out}: already holds another run (seed: 5 there, 0 here); choose another --out"
    assert_one_line(say("run", config, "--out", out), begins, world, before)


def test_a_full_disk_gets_one_line(world, say, monkeypatch):
    config = config_of(world)
    usage = shutil.disk_usage(world)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    said = say("run", config, "--out", world / "out")
    assert said.code == 2
    assert said.complaint == [f"semalign: {world / 'out'}: less than 50 MB of disk space left; choose another --out"]
    assert not list((world / "out").glob("[!.]*"))  # but the lock


@pytest.mark.parametrize("place", ["metrics", "scores", "student"])
@pytest.mark.slow
def test_a_disk_that_gets_full_on_the_way_gets_one_line_and_the_run_goes_on_later(place, world, say, monkeypatch):
    """The system's own error, wherever it comes from."""
    config, out = config_of(world, tasks=("names",), controls=[]), world / "out"

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    if place == "metrics":
        opened = Path.open
        monkeypatch.setattr(
            Path, "open", lambda path, *how, **more: (full if "a" in how else opened)(path, *how, **more)
        )
    elif place == "scores":
        written = Path.write_text
        monkeypatch.setattr(
            Path,
            "write_text",
            lambda path, *text, **more: (full if "names.json" in path.name else written)(path, *text, **more),
        )
    else:
        monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    said = say("run", config, "--out", out)
    assert said.code == 2, said.err
    complaints = [line for line in said.complaint if not line.startswith("warning: ")]
    assert len(complaints) == 1, said.err
    assert "no disk space left" in complaints[0]
    assert json.loads((out / "status.json").read_text())["status"] == "failed"
    assert not (out / "student").exists()
    assert not list(out.rglob("*.part"))
    monkeypatch.undo()
    from semalign.pipeline import run

    run(config, out)
    assert (out / "student" / "model.safetensors").exists()


# the other verbs


@pytest.mark.parametrize("verb", ["run", "attribute", "pair", "basis"])
def test_a_configuration_that_is_not_there_gets_one_line(verb, world, say):
    before = snapshot(world)
    begins = f"{world}/none.yaml: no such configuration file"
    assert_one_line(say(verb, world / "none.yaml"), begins, world, before)


def test_reporting_what_is_no_run_gets_one_line(world, say):
    before = snapshot(world)
    assert_one_line(say("report", world), f"{world}/record.json: no such file", world, before)


def test_pairing_without_a_pairing_gets_one_line(world, say):
    config = config_of(world, method="sft", controls=[])
    before = snapshot(world)
    for verb in ("pair", "basis"):
        assert_one_line(say(verb, config), "method 'sft' pairs no layers", world, before)


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        (["--layers", "0"], "--layers 0: the teacher has 5 layers; keep 1 to 4 of them"),
        (["--layers", "5"], "--layers 5: the teacher has 5 layers; keep 1 to 4 of them"),
        (["--layers", "2", "--by", "evn"], "--by: unknown way to choose layers 'evn'. Did you mean 'even'?"),
    ],
)
def test_shrinking_to_nothing_gets_one_line(options, begins, world, say):
    config = config_of(world)
    before = snapshot(world)
    assert_one_line(say("shrink", config, "--out", world / "out", *options), begins, world, before)


def test_shrinking_onto_something_gets_one_line(world, say):
    config = config_of(world)
    before = snapshot(world)
    said = say("shrink", config, "--layers", 2, "--out", world / "student")
    assert_one_line(said, f"{world}/student: already exists", world, before)


def test_a_student_of_another_size_is_no_mistake(world, say, capfd):
    """Wider than the teacher: only a missing file stops it, so the widths themselves were accepted."""
    write_model(world / "student", n_layer=6, width=32, tokenizer=make_tokenizer())
    config = config_of(world)
    (world / "mine.txt").write_text("x")
    capfd.readouterr()
    said = say("run", config, "--out", world / "mine.txt")
    assert said.complaint == [f"semalign: {world}/mine.txt: is a file; give a folder as --out"]
