"""Scored rows of a run folder, as evaluation writes them, with planted gains and losses."""

from pathlib import Path
from typing import Any

from semalign.artifacts import write_json

RIGHT = {"student": range(2, 6), "sft": range(2, 7), "semalign": range(4, 10), "teacher": range(12)}


def write_answers(folder: Path, *, tasks: tuple[str, ...] = ("facts", "strings"), n: int = 12, words: str = "") -> None:
    """Of `n` rows a task the student has rows 2 to 5 right, SemAlign 4 to 9: four gained, two lost."""
    for key, right in RIGHT.items():
        for task in tasks:
            samples = [_sample(task, i, i in right, f"{words}{key}") for i in range(n)]
            write_json(folder / "eval" / key / f"{task}.json", {"task": task, "samples": samples})


def _sample(task: str, i: int, is_right: bool, key: str) -> dict[str, Any]:
    gold = f" The answer of row {i} is {i * i}."
    wrong = f" The answer of row {i} is what {key} says."
    return {
        "id": f"{task}-{i:03d}",
        "prompt": f"Question {i} of {task}?\nAnswer:",
        "gold": gold,
        "bits": 2.0 + i,
        "bytes": 8,
        "generation": gold if is_right else wrong,
        "outcome": float(is_right),
    }
