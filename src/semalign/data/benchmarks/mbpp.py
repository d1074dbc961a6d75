"""MBPP: small Python functions with unit tests.

Source: Austin et al. 2021, arXiv:2108.07732; rows rebuilt to the LaTen format, which keeps the files' CR LF line ends.
"""

import re
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..hub import hub_records
from ..jsonl import read_jsonl
from ..rows import Row
from ..source import Loaded
from .protocol import expect, laten_splits, without_twins

SIZE = 974
TEST, VALIDATION, TRAIN = range(11, 511), range(511, 601), range(601, 975)
HUB = "google-research-datasets/mbpp"
BEFORE_CODE = "Here is the completed function:\n\n\n```python\n"


def request(code_start: str) -> str:
    """The user's turn of a programming task."""
    return f"Complete the following python function.\n\n\n{code_start}"


def load(folder: Path | None, task: str) -> Loaded:
    """Rows `mbpp_<task_id>`: 11-510 test, 511-600 validation, 601-974 training pool (372 of 374 are LaTen's)."""
    rows = _rows(folder, task)
    pool = {i: rows[i] for i in (*VALIDATION, *TRAIN)}
    kept, notes = without_twins([rows[i] for i in TEST], pool)
    return Loaded(
        {**laten_splits("mbpp", pool, VALIDATION), "test": kept}, "passes_tests", 256, ("\n```\n",), tuple(notes)
    )


def tested_rows(folder: Path | None, task: str) -> list[Row]:
    rows = _rows(folder, task)
    return [rows[i] for i in TEST]


def _rows(folder: Path | None, task: str) -> dict[int, Row]:
    """All rows by task_id."""
    records = _hub() if folder is None else [record for _, record in read_jsonl(folder / "mbpp.jsonl")]
    expect(len(records), SIZE, HUB if folder is None else folder / "mbpp.jsonl")
    return {int(record["task_id"]): _row(record, task) for record in records}


def _hub() -> list[dict[str, Any]]:
    return [
        record
        for split in ("prompt", "test", "validation", "train")
        for record in hub_records(HUB, split, config="full")
    ]


def _row(record: dict[str, Any], task: str) -> Row:
    try:
        code, asserts = record["code"], record["test_list"]
        user = request(f"{record['text']}\n{code.split(':')[0]}")
        tests = "\n".join([*filter(None, [record["test_setup_code"]]), *asserts])
        extra = {"tests": tests, "entry_point": _entry_point(code, "\n".join(asserts))}
        # Spaces before the line end would merge with it where the text ends, and so differ in training and generation.
        return Row(
            f"mbpp_{record['task_id']}",
            task,
            f"{user.rstrip()}\n",
            f"{BEFORE_CODE}{code}",
            ({"role": "user", "content": user},),
            extra,
        )
    except (KeyError, AttributeError, TypeError):
        raise UserError(
            f"mbpp row {record.get('task_id')}: expected task_id, text, code, test_setup_code and test_list"
        ) from None


def _entry_point(code: str, tests: str) -> str:
    """The function that the tests call."""
    names = re.findall(r"def\s+(\w+)", code)
    return next(name for name in names if re.search(rf"\b{name}\s*\(", tests))
