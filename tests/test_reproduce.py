"""The same configuration and seed give the same bits; where they do not, `semalign reproduce` says what differs."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_run import config_of

from semalign import pipeline
from semalign.artifacts import read_json, write_json
from semalign.errors import UserError
from semalign.progress import Reporter
from semalign.reproduce import reproduce

pytestmark = pytest.mark.slow  # whole runs


@pytest.fixture(scope="module")
def done(world):
    training = {"epochs": 2, "batch_size": 10, "learning_rate": 0.01, "lora": {"rank": 2}}
    config = config_of(world, tasks=("names",), name="again", training=training)
    return pipeline.run(config, world / "again", reporter=Reporter(quiet=True), pages=False)


def test_a_run_comes_out_the_same_to_the_bit(done, say):
    said = say("reproduce", done, "--plain")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[-2:] == ["environment: the same", "equal to the bit"]
    parts = [line for line in lines if ": equal (" in line]
    assert [line.partition(":")[0] for line in parts] == ["rows and models", "plans", "training", "weights", "scores"]
    assert not any("(0 files)" in line for line in parts)
    again = done.with_name("again-reproduced")
    assert read_json(again / "reproduction.json")["equal"]
    for name in ("sft", "semalign"):
        weights = [
            (each / "train" / name / "adapter" / "adapter_model.safetensors").read_bytes() for each in (done, again)
        ]
        assert weights[0] == weights[1]


def test_what_differs_is_said_and_the_exit_code_is_1(done, say):
    reproduce(done, reporter=Reporter(quiet=True))  # finished already: nothing is trained again
    weights = done / "train" / "sft" / "adapter" / "adapter_model.safetensors"
    history, around = done / "train" / "semalign" / "history.json", done / "environment.json"
    before = {path: path.read_bytes() for path in (weights, history, around)}
    tensors = load_file(weights)
    name = sorted(tensors)[0]
    tensors[name].view(-1)[0] += 0.5
    save_file(tensors, weights)
    values = read_json(history)
    values["entries"][1]["loss"] = torch.nextafter(torch.tensor(values["entries"][1]["loss"]), torch.tensor(9e9)).item()
    write_json(history, values)
    versions = read_json(around)
    versions["versions"]["torch"] = "1.0"
    write_json(around, versions)
    try:
        said = say("reproduce", done, "--plain")
    finally:
        for path, content in before.items():
            path.write_bytes(content)
    assert said.code == 1
    assert f"1 of {len(tensors)} tensors, by at most 0.5 ({name})" in said.out
    assert "training: train/semalign/history.json: entries[1].loss: " in said.out
    assert "environment: versions.torch: '1.0' there, " in said.out
    assert said.out.splitlines()[-1] == "not equal"


def test_the_teachers_answers_are_compared_row_by_row(world):
    data = {"template": "plain", "max_length": 48}
    task = {"name": "names", "folder": "names", "score": "likelihood", "stop": ["e", "a", "i", "o", "n"]}
    data["tasks"] = [{**task, "rows": {"train": 8, "prompts": 10}}]
    teacher = {"model": "./teacher", "writes": {"max_new_tokens": 40, "temperature": 1.0}}
    method = {"name": "sft", "answers": "both"}
    config = config_of(world, name="answered", data=data, teacher=teacher, method=method, controls=[])
    folder = pipeline.run(config, world / "answered", reporter=Reporter(quiet=True), pages=False)
    answers = folder / "teacher" / "answers" / "names.jsonl"
    lines = answers.read_text(encoding="utf-8").splitlines()
    assert len(lines) > 1
    again = reproduce(folder, reporter=Reporter(quiet=True))
    assert again.equal
    changed = [*lines[:1], json.dumps({**json.loads(lines[1]), "answer": "another"})]
    answers.write_text("\n".join([*changed, *lines[2:], ""]), encoding="utf-8")
    (found,) = reproduce(folder, reporter=Reporter(quiet=True)).differences["rows and models"]
    assert found.startswith("teacher/answers/names.jsonl: [1].answer: 'another' there, ")


def test_a_folder_without_a_finished_run_is_refused(tmp_path, done):
    with pytest.raises(UserError, match="holds no run"):
        reproduce(tmp_path)
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    (stopped / "config.yaml").write_bytes((done / "config.yaml").read_bytes())
    (stopped / "status.json").write_text(json.dumps({"status": "cancelled"}))
    with pytest.raises(UserError, match="this run is cancelled"):
        reproduce(stopped)
    with pytest.raises(UserError, match="is the run itself"):
        reproduce(done, done)
