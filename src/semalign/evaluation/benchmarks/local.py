"""A folder of benchmark files as the data sets that lm-eval's tasks expect, in memory."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets

from semalign.data.benchmarks import gsm8k, humaneval, mbpp
from semalign.data.benchmarks.protocol import expect
from semalign.data.jsonl import read_jsonl
from semalign.errors import UserError

Splits = dict[str, datasets.Dataset]
"""The rows of each split that a task of lm-eval reads."""


def local_splits(benchmark: str, folder: Path, subject: str | None) -> Splits:
    """The splits of a benchmark (of one subject of MMLU) from its files in `folder`."""
    read: dict[str, Callable[[Path], dict[str, list[dict[str, Any]]]]] = {
        "gsm8k": _gsm8k,
        "humaneval": _humaneval,
        "mbpp": _mbpp,
    }
    rows = _mmlu(folder, subject) if subject else read[benchmark](folder)
    return {split: datasets.Dataset.from_list(records) for split, records in rows.items()}


def _gsm8k(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {split: _records(folder / f"{split}.jsonl", size) for split, size in gsm8k.SIZES.items()}


def _humaneval(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {"test": _records(folder / "HumanEval.jsonl", humaneval.SIZE)}


def _mbpp(folder: Path) -> dict[str, list[dict[str, Any]]]:
    records = {record["task_id"]: record for record in _records(folder / "mbpp.jsonl", mbpp.SIZE)}
    return {"test": [records[i] for i in mbpp.TEST]}


def _records(path: Path, size: int) -> list[dict[str, Any]]:
    records = [record for _, record in read_jsonl(path)]
    expect(len(records), size, path)
    return records


def _mmlu(folder: Path, subject: str) -> dict[str, list[dict[str, Any]]]:
    return {split: list(_questions(folder / split / f"{subject}_{split}.csv")) for split in ("test", "dev")}


def _questions(path: Path) -> Iterator[dict[str, Any]]:
    """Rows with a header and answers 0..3, as lm-eval reads them from the hub."""
    if not path.exists():
        raise UserError(f"{path}: no such file; take the benchmark's original files, or the hub's (no --data)")
    with path.open(newline="", encoding="utf-8") as lines:
        for i, record in enumerate(csv.DictReader(lines)):
            try:
                choices, answer = [str(record[f"choice{k}"]) for k in range(4)], int(record["answer"])
                yield {"question": record["question"], "choices": choices, "answer": answer}
            except (KeyError, TypeError, ValueError):
                raise UserError(f"{path} row {i}: expected question, choice0..3 and an answer of 0..3") from None
