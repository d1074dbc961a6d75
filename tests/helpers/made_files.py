"""Benchmark files of the real layout and size with made questions, so that a test needs no real ones."""

import csv
import json
import random
from pathlib import Path

import lm_eval

from semalign.data.benchmarks import gsm8k, humaneval, mbpp

WORDS = ("the", "red", "house", "near", "old", "river", "where", "seven", "boats", "carried", "green", "apples")


def write_files(folder: Path) -> Path:
    """MMLU with four questions a subject, and GSM8K; the same at every call."""
    draw = random.Random(11)
    for split, size in gsm8k.SIZES.items():
        _write_sums(folder / "gsm8k" / f"{split}.jsonl", size, draw)
    subjects = sorted((Path(lm_eval.__file__).parent / "tasks/mmlu/default").glob("mmlu_*.yaml"))
    for subject in (path.stem.removeprefix("mmlu_") for path in subjects):
        for split, size in (("test", 4), ("dev", 5)):
            _write_choices(folder / "mmlu" / split / f"{subject}_{split}.csv", size, draw)
    return folder


def write_code(folder: Path) -> Path:
    """MBPP and HumanEval of functions that return their number."""
    programs = [
        {
            "task_id": i,
            "text": f"Write a function to return {i}.",
            "code": f"def number_{i}():\n    return {i}",
            "test_setup_code": "",
            "test_list": [f"assert number_{i}() {told}" for told in (f"== {i}", f"< {i + 1}", f"> {i - 1}")],
        }
        for i in range(1, mbpp.SIZE + 1)
    ]
    completions = [
        {
            "task_id": f"HumanEval/{i}",
            "prompt": f'def number_{i}():\n    """Return {i}."""\n',
            "canonical_solution": f"    return {i}\n",
            "test": f"def check(candidate):\n    assert candidate() == {i}\n",
            "entry_point": f"number_{i}",
        }
        for i in range(humaneval.SIZE)
    ]
    for name, records in (("mbpp/mbpp.jsonl", programs), ("humaneval/HumanEval.jsonl", completions)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def _sentence(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(3, 9)))


def _write_sums(path: Path, size: int, draw: random.Random) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for _ in range(size):
        a, b = draw.randrange(99), draw.randrange(99)
        rows.append(
            {"question": f"{_sentence(draw)}: {a} and {b}?", "answer": f"{a} + {b} = <<{a}+{b}={a + b}>>\n#### {a + b}"}
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _write_choices(path: Path, size: int, draw: random.Random) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["question", "choice0", "choice1", "choice2", "choice3", "answer"])
        for _ in range(size):
            table.writerow([_sentence(draw), *(_sentence(draw) for _ in range(4)), draw.randrange(4)])
