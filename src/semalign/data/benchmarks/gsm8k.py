"""GSM8K: grade-school arithmetic with worked steps.

Source: Cobbe et al. 2021, arXiv:2110.14168; rows rebuilt to the LaTen format.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..hub import hub_records
from ..jsonl import read_jsonl
from ..rows import Row, text_field
from ..source import Loaded
from .protocol import expect, laten_splits, without_twins

SIZES = {"train": 7473, "test": 1319}


def load(folder: Path | None, task: str) -> Loaded:
    """Rows `gsm_<line of train.jsonl from 0>` and `gsm_test_<line>`."""
    pool = {i: _row(record, f"gsm_{i}", task) for i, record in enumerate(_records(folder, "train"))}
    kept, notes = without_twins(tested_rows(folder, task), pool)
    # Answers are one line; an untrained model may use several, so only a next question stops it.
    return Loaded({**laten_splits("gsm8k", pool), "test": kept}, "exact_match", 256, ("\nQuestion:",), tuple(notes))


def tested_rows(folder: Path | None, task: str) -> list[Row]:
    return [_row(record, f"gsm_test_{i}", task) for i, record in enumerate(_records(folder, "test"))]


def _records(folder: Path | None, split: str) -> Sequence[dict[str, Any]]:
    if folder is None:
        records, where = hub_records("openai/gsm8k", split, config="main"), f"openai/gsm8k {split}"
    else:
        where = folder / f"{split}.jsonl"
        records = [record for _, record in read_jsonl(where)]
    expect(len(records), SIZES[split], where)
    return records


def _row(record: dict[str, Any], identifier: str, task: str) -> Row:
    question, worked = (text_field(record, name, identifier) for name in ("question", "answer"))
    body, mark, final = re.sub(r"<<.*?>>", "", worked).replace("\n", " ").partition("####")
    if not mark:
        raise UserError(f"{identifier}: no '####' before the final answer")
    body, final = body.strip(), final.strip()
    body = body if body.endswith(".") else f"{body}."
    user = f"Answer the following question.\n\nQuestion: {question}"
    answer = f"Answer: {body} So the answer is {final}."
    turns = ({"role": "user", "content": user},)
    return Row(identifier, task, f"{user}\n", answer, turns, {"final": final.replace(",", "")})
