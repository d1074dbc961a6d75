"""MMLU: multiple-choice questions of 57 subjects.

Source: Hendrycks et al. 2021, arXiv:2009.03300; rows in the LaTen format.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..hub import hub_records
from ..jsonl import read_jsonl
from ..rows import Row
from ..source import Loaded
from .protocol import expect, laten_splits, without_twins

LETTERS = "ABCD"
CHOICES = [f"The answer is: {letter}" for letter in LETTERS]
POOL_SIZE, TEST_SIZE = 1702, 14042
HUB = "cais/mmlu"


def load(folder: Path | None, task: str) -> Loaded:
    """Rows `<subject>_<k>` (k < 4: dev rows 1..4; k >= 4: validation rows k - 3) and `<subject>_test_<row from 0>`."""
    pool = _hub_pool(task) if folder is None else _file_pool(folder / "dev_validation_1702.jsonl", task)
    expect(len(pool), POOL_SIZE, HUB if folder is None else folder / "dev_validation_1702.jsonl")
    kept, notes = without_twins(tested_rows(folder, task), pool)
    return Loaded({**laten_splits("mmlu", pool), "test": kept}, "multiple_choice", 8, ("\n",), tuple(notes))


def tested_rows(folder: Path | None, task: str) -> list[Row]:
    test = list(_hub_test(task) if folder is None else _file_test(folder / "test", task))
    expect(len(test), TEST_SIZE, HUB if folder is None else folder / "test")
    return test


def question_text(subject: str, question: str, choices: Sequence[str]) -> str:
    """The user's turn."""
    listed = "".join(f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, choices, strict=True))
    about = subject.replace("_", " ")
    return f"The following are multiple choice questions (with answers) about {about}.\n\n{question}\n{listed}Answer:"


def _row(identifier: str, task: str, user: str, gold: int) -> Row:
    turns = ({"role": "user", "content": user},)
    return Row(identifier, task, f"{user}\n", CHOICES[gold], turns, {"choices": CHOICES, "gold": gold})


def _file_pool(path: Path, task: str) -> dict[str, Row]:
    pool = {}
    for number, record in read_jsonl(path):
        try:
            user, assistant = (turn["content"] for turn in record["messages"])
            pool[record["id"]] = _row(record["id"], task, user, CHOICES.index(assistant))
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{path} line {number}: expected an id, a question and 'The answer is: X'") from None
    return pool


def _file_test(folder: Path, task: str) -> Iterator[Row]:
    for path in sorted(folder.glob("*_test.csv")):
        subject = path.name.removesuffix("_test.csv")
        with path.open(newline="", encoding="utf-8") as lines:
            for i, record in enumerate(csv.DictReader(lines)):
                try:
                    choices, gold = (
                        [record[f"choice{k}"] for k in range(4)],
                        LETTERS.index(LETTERS[int(record["answer"])]),
                    )
                    yield _row(f"{subject}_test_{i}", task, question_text(subject, record["question"], choices), gold)
                except (KeyError, TypeError, ValueError, IndexError):
                    raise UserError(f"{path} row {i}: expected question, choice0..3 and an answer of 0..3") from None


def _hub_subjects(split: str) -> dict[str, list[dict[str, Any]]]:
    subjects = defaultdict(list)
    for record in hub_records(HUB, split, config="all"):
        subjects[record["subject"]].append(record)
    return subjects


def _hub_row(record: Mapping[str, Any], identifier: str, task: str) -> Row:
    user = question_text(record["subject"], record["question"], record["choices"])
    return _row(identifier, task, user, int(record["answer"]))


def _hub_pool(task: str) -> dict[str, Row]:
    dev, validation = _hub_subjects("dev"), _hub_subjects("validation")
    # The pool lacks the first row of every file: its maker read that row as a header.
    rows = {subject: dev[subject][1:] + validation[subject][1:] for subject in dev}
    named = {f"{subject}_{k}": record for subject, records in rows.items() for k, record in enumerate(records)}
    return {identifier: _hub_row(record, identifier, task) for identifier, record in named.items()}


def _hub_test(task: str) -> Iterator[Row]:
    for subject, records in sorted(_hub_subjects("test").items()):
        for i, record in enumerate(records):
            yield _hub_row(record, f"{subject}_test_{i}", task)
