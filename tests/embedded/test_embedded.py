"""The embedded pair loads, is small, and its tasks are what they say."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from semalign.embedded import student_folder, tasks_folder, teacher_folder

ROOT = Path(__file__).parents[2]
SPLITS = ("train", "validation", "test")
TASKS = yaml.safe_load((tasks_folder() / "tasks.yaml").read_text())

torch.set_num_threads(1)


def read(task: str, split: str) -> list[dict]:
    return [json.loads(line) for line in (tasks_folder() / task / f"{split}.jsonl").read_text().splitlines()]


def load(folder: Path) -> tuple[torch.nn.Module, PreTrainedTokenizerBase]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def scores_right(task: str, row: dict, answer: str) -> bool:
    """The plainest scorer of each kind; it executes shipped gold programs only."""
    if TASKS[task]["scorer"] == "multiple_choice":
        return row["choices"].index(answer) == row["gold"]
    if TASKS[task]["scorer"] == "exact_match":
        return answer.rstrip(".").split()[-1] == row["final"]
    program = row["prompt"] + answer if TASKS[task]["program"] == "prompt + answer" else answer
    exec(program + "\n" + row["tests"], {})
    return True


@pytest.mark.parametrize("folder", [teacher_folder(), student_folder()], ids=["teacher", "student"])
def test_model_loads_and_its_head_has_full_column_rank(folder):
    model, tokenizer = load(folder)
    head = model.get_output_embeddings().weight.detach()
    assert head.shape[0] == len(tokenizer) > 8 * student_width()
    assert torch.linalg.matrix_rank(head) == head.shape[1]


def student_width() -> int:
    return json.loads((student_folder() / "config.json").read_text())["hidden_size"]


def test_student_is_narrower_and_shallower():
    teacher, student = (json.loads((f / "config.json").read_text()) for f in (teacher_folder(), student_folder()))
    assert student["hidden_size"] < teacher["hidden_size"]
    assert 3 < student["num_hidden_layers"] < teacher["num_hidden_layers"]


def test_both_together_are_small():
    files = [path for folder in (teacher_folder(), student_folder()) for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12e6


def test_both_share_one_tokenizer_with_single_digits():
    teacher, student = (AutoTokenizer.from_pretrained(folder) for folder in (teacher_folder(), student_folder()))
    assert teacher.get_vocab() == student.get_vocab()
    assert [student.decode([i]) for i in student("123 45").input_ids] == ["1", "2", "3", " 4", "5"]


def test_chat_form_of_a_row_is_its_plain_form():
    tokenizer = AutoTokenizer.from_pretrained(student_folder())
    row = read("facts", "train")[0]
    turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["answer"]}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == row["prompt"] + row["answer"] + tokenizer.eos_token


@pytest.mark.parametrize("task", TASKS)
def test_rows_are_short_and_survive_the_tokenizer(task):
    tokenizer = AutoTokenizer.from_pretrained(student_folder())
    for row in read(task, "test"):
        ids = tokenizer(row["prompt"] + row["answer"]).input_ids
        assert len(ids) <= 110
        assert tokenizer.decode(ids) == row["prompt"] + row["answer"]


@pytest.mark.parametrize("task", TASKS)
def test_splits_are_disjoint_and_large_enough(task):
    prompts = {split: {row["prompt"] for row in read(task, split)} for split in SPLITS}
    assert {split: len(found) for split, found in prompts.items()} == {"train": 600, "validation": 200, "test": 200}
    assert len(set.union(*prompts.values())) == 1000


@pytest.mark.parametrize("task", TASKS)
def test_gold_answers_score_right(task):
    for row in read(task, "train")[:50] + read(task, "test"):
        assert scores_right(task, row, row["answer"]), row["id"]


def test_gold_options_are_spread_over_the_letters():
    golds = [row["gold"] for row in read("facts", "test")]
    assert all(30 <= golds.count(letter) <= 70 for letter in range(4))


def test_task_files_come_out_of_the_build_bit_for_bit():
    command = [sys.executable, ROOT / "pairs" / "build.py", "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def bits_per_byte(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, rows: list[dict]) -> float:
    bits, n_bytes = 0.0, 0
    for row in rows:
        prompt, answer = (tokenizer(row[part]).input_ids for part in ("prompt", "answer"))
        ids = torch.tensor([prompt + answer])
        with torch.no_grad():
            log_probabilities = model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        bits -= log_probabilities.gather(1, ids[0, len(prompt) :, None]).sum().item() / math.log(2)
        n_bytes += len(row["answer"].encode())
    return bits / n_bytes


@pytest.mark.slow
def test_teacher_knows_more_than_student_on_every_task():
    teacher, student = load(teacher_folder()), load(student_folder())
    for task in TASKS:
        rows = read(task, "test")[:40]
        assert bits_per_byte(*teacher, rows) < 0.8 * bits_per_byte(*student, rows), task
