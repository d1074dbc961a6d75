"""Prompts without gold answers, which the teacher answers: rows of a file of their own, or of those not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from .formats import Format
from .jsonl import named_records
from .rows import PAIRS, Row, rows_from_records
from .sampling import permuted, sample

NOTHING = "-"  # stands for the missing answer while a record is read
TURNS = (("messages", "role", ("user",), "content"), ("conversations", "from", ("human", "user"), "value"))


def prompts_of_file(
    path: Path, *, task: str, count: int | None, seed: int, fields: Mapping[str, str], layout: Format | None
) -> list[Row]:
    """The rows of a file, or a seeded sample of them; records may lack an answer, and those that have one lose it."""
    records = [(where, name, _answered(record, fields, layout)) for where, name, record in named_records(path)]
    rows = rows_from_records(records, task=task, fields=fields, layout=layout)
    return unanswered(sample(rows, count, seed=seed, task=task, split="prompts"))


def prompts_beside(train: Sequence[Row], *, n_train: int | None, count: int, seed: int, task: str) -> list[Row]:
    """The `count` rows of train that come next in the order in which the first `n_train` were drawn for training."""
    if n_train is None:
        raise UserError(
            f"task '{task}': rows.prompts takes rows that are not trained on; give rows.train, or a file as 'prompts'"
        )
    if n_train + count > len(train):
        raise UserError(
            f"task '{task}': rows.train {n_train} and rows.prompts {count} ask for {n_train + count} rows of train, "
            f"there are {len(train)}"
        )
    order = permuted(train, seed=seed, task=task, split="train")
    return unanswered([train[i] for i in sorted(order[n_train : n_train + count])])


def unanswered(rows: Sequence[Row]) -> list[Row]:
    """The rows without what nobody shall look at."""
    return [replace(row, answer="", extra={}) for row in rows]


def _answered(record: Mapping[str, Any], fields: Mapping[str, str], layout: Format | None) -> Mapping[str, Any]:
    """The record with some answer where it has none."""
    for name, role, people, text in TURNS:
        turns = record.get(name)
        if isinstance(turns, list) and turns and isinstance(turns[-1], Mapping):
            open_ended = turns[-1].get(role) in people
            return {**record, name: [*turns, {role: "assistant", text: NOTHING}]} if open_ended else record
    if isinstance(record.get("prompt"), list) and "prompt" not in fields:
        return {"completion": [{"role": "assistant", "content": NOTHING}], **record}
    if layout == "prompt-completion":
        return {"completion": NOTHING, **record}
    prompt = fields.get("prompt") or next((name for name, _ in PAIRS if name in record), "prompt")
    answers = [fields["answer"]] if "answer" in fields else [answer for name, answer in PAIRS if name == prompt]
    return record if any(record.get(name) for name in answers) else {**record, (answers or ["answer"])[0]: NOTHING}
