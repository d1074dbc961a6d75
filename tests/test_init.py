"""`semalign init`: what it writes is a configuration that runs, fits the pair and the rows, and overwrites nothing."""

import json

import pytest
import torch
from tiny_run import make_tokenizer, sums, write_model, write_rows
from transformers import AutoModelForCausalLM

from semalign.config import Run
from semalign.errors import UserError
from semalign.models import load, save_plain, shrink
from semalign.models.describe import cut_out_of, describe
from semalign.pipeline import run
from semalign.scaffold import write_config


@pytest.fixture
def rows(tmp_path):
    """Thirty-six rows in the layout of LLaMA-Factory."""
    records = [sums(i) for i in range(36)]
    write_rows(
        tmp_path / "sums.jsonl", [{"instruction": row["prompt"].strip(), "output": row["answer"]} for row in records]
    )
    return tmp_path / "sums.jsonl"


def cut_model(world, folder):
    teacher = load(str(world / "teacher"))
    save_plain(shrink(teacher, [0, 2, 4]).module, teacher.tokenizer, folder)


def test_two_models_and_a_file_give_a_run_that_ends_in_a_report(world, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(world)
    written = write_config("teacher", "student", tmp_path / "mine.yaml", data=rows)
    config = Run.read(written.path)
    assert config.model_path(config.teacher) == str(world / "teacher")
    assert config.data.tasks[0].score == "likelihood"
    assert any("36 rows (alpaca), scored by likelihood" in note for note in written.notes)
    folder = run(config, tmp_path / "run", overrides=())
    assert (folder / "report.html").exists()
    assert json.loads((folder / "summary.json").read_text())["tasks"]["sums"]["semalign"] is not None


def test_a_file_of_test_rows_is_the_test_and_shares_no_row_with_training(world, rows, tmp_path):
    test, out = tmp_path / "test.jsonl", tmp_path / "a.yaml"
    models = (f"{world}/teacher", f"{world}/student", out)
    write_rows(test, [sums(i) for i in range(34, 40)])
    with pytest.raises(UserError, match="is also test row"):
        write_config(*models, data=rows, test=test)
    write_rows(test, [sums(i) for i in range(36, 40)])
    write_config(*models, data=rows, test=test)
    (task,) = Run.read(out).data.tasks
    assert task.name == "sums"
    assert (task.test, task.rows.test) == (str(test), None)


def test_a_task_is_not_called_like_a_split(world, rows, tmp_path):
    rows = rows.rename(tmp_path / "train.jsonl")
    out = write_config(f"{world}/teacher", f"{world}/student", tmp_path / "a.yaml", data=rows).path
    assert [task.name for task in Run.read(out).data.tasks] == ["rows"]


def test_the_doctor_reads_it(world, rows, tmp_path, say):
    said = say("init", world / "teacher", world / "student", "--data", rows, "--out", tmp_path / "a.yaml")
    assert (said.code, said.err) == (0, "")
    assert f"next: semalign doctor {tmp_path / 'a.yaml'}" in said.out
    assert say("doctor", tmp_path / "a.yaml", "--json").code in (0, 1)


def test_the_embedded_pair_needs_no_rows(tmp_path):
    path = write_config("embedded:teacher", "embedded:student", tmp_path / "a.yaml").path
    config = Run.read(path)
    assert [task.name for task in config.data.tasks] == ["facts", "arithmetic", "functions", "programs"]
    assert config.method.basis.name == "logit"
    assert "sft" in config.controls


def test_a_cut_student_gets_the_recipe_for_cut_students(world, rows, tmp_path):
    cut_model(world, tmp_path / "cut")
    method = Run.read(write_config(f"{world}/teacher", f"{tmp_path}/cut", tmp_path / "a.yaml", data=rows).path).method
    assert (method.basis.name, method.loss.name, method.pairing.name) == ("identity", "mse", "monotone_cka")


def test_a_student_of_the_same_width_that_was_trained_apart_is_not_cut(world, tmp_path):
    write_model(tmp_path / "apart", n_layer=3, width=24, seed=9)
    assert not cut_out_of(describe(str(tmp_path / "apart")), describe(str(world / "teacher")))
    cut_model(world, tmp_path / "cut")
    assert cut_out_of(describe(str(tmp_path / "cut")), describe(str(world / "teacher")))


def test_an_embedding_trained_on_after_the_cut_still_tells(world, tmp_path):
    cut_model(world, tmp_path / "cut")
    module = AutoModelForCausalLM.from_pretrained(tmp_path / "cut")
    with torch.no_grad():
        module.get_input_embeddings().weight.mul_(1 + 0.02 * torch.randn(24))
    module.save_pretrained(tmp_path / "cut")
    assert cut_out_of(describe(str(tmp_path / "cut")), describe(str(world / "teacher")))


def test_two_tokenizers_are_said_and_measured_on_the_rows(world, rows, tmp_path):
    tokenizer = make_tokenizer().train_new_from_iterator(["the quick brown fox is the quickest"] * 9, 280)
    write_model(tmp_path / "other", n_layer=4, width=32, seed=5, tokenizer=tokenizer)
    config = tmp_path / "a.yaml"
    notes = write_config(f"{tmp_path}/other", f"{world}/student", config, data=rows).notes
    method = Run.read(config).method
    assert any("two tokenizers" in note for note in notes)
    assert any("can be followed at" in note for note in notes)
    assert method.pairing.name == "depth"


@pytest.mark.parametrize(
    ("extra", "score"),
    [
        ({"final": "1"}, "exact_match"),
        ({"choices": ["a", "b"], "gold": 0}, "multiple_choice"),
        ({"tests": "assert f()"}, "passes_tests"),
    ],
)
def test_rows_are_scored_by_what_all_of_them_have(world, tmp_path, extra, score):
    records = [{"prompt": f"{i}?\n", "answer": f"{i}!", **extra} for i in range(12)]
    write_rows(tmp_path / "r.jsonl", records)
    path = write_config(f"{world}/teacher", f"{world}/student", tmp_path / "a.yaml", data=tmp_path / "r.jsonl").path
    assert Run.read(path).data.tasks[0].score == score
    write_rows(tmp_path / "r.jsonl", [*records, {"prompt": "x?\n", "answer": "y"}])
    path = write_config(f"{world}/teacher", f"{world}/student", tmp_path / "b.yaml", data=tmp_path / "r.jsonl").path
    assert Run.read(path).data.tasks[0].score == "likelihood"


def test_nothing_is_overwritten_and_every_mistake_is_one_line(world, rows, tmp_path):
    teacher, student, out = f"{world}/teacher", f"{world}/student", tmp_path / "a.yaml"
    few = tmp_path / "few.jsonl"
    write_rows(few, [sums(i) for i in range(3)])
    long = tmp_path / "long.jsonl"
    write_rows(long, [{**sums(i), "prompt": "Add 1 and 2. " * (60 * (i == 4) + 1)} for i in range(12)])
    for arguments, data, message in (
        ((teacher, teacher), rows, "is teacher and student"),
        ((teacher, student), tmp_path / "none.jsonl", "no such file or folder"),
        ((teacher, student), few, "3 rows; give at least 10"),
        ((teacher, student), long, "the models read 128; leave it out"),
        ((teacher, student), world, "no train.jsonl in it"),
        ((str(tmp_path), student), rows, "has no config.json"),
    ):
        with pytest.raises(UserError, match=message):
            write_config(*arguments, out, data=data)
        assert not out.exists()
    for data, message in ((None, "has no effect without --data"), (rows.parent, "name the file of training rows")):
        with pytest.raises(UserError, match=message):
            write_config(teacher, student, out, data=data, test=rows)
        assert not out.exists()
    write_config(teacher, student, out, data=rows)
    with pytest.raises(UserError, match="exists; choose another --out"):
        write_config(teacher, student, out, data=rows)


def test_long_rows_keep_their_prompts_and_are_counted(world, tmp_path):
    path = tmp_path / "r.jsonl"
    write_rows(path, [{"prompt": f"{i}?\n", "answer": "one two three " * (1 + 30 * (i == 3))} for i in range(12)])
    written = write_config(f"{world}/teacher", f"{world}/student", tmp_path / "a.yaml", data=path)
    assert Run.read(written.path).data.max_length == 128
    assert any("1 rows are longer than 128 tokens" in note for note in written.notes)
