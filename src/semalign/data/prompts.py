"""Prompts without gold answers, which the teacher answers: rows of a file of their own, or of those not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from .formats import PREFERENCES, Format
from .jsonl import named_records
from .rows import PAIRS, SCORED, Row, rows_from_records
from .sampling import permuted, sample

NOTHING = "-"  # stands for the missing answer while a record is read
ANSWERS = ("answer", "completion", "output", *PREFERENCES, "label")
LOOKED_AT = ("id", "prompt")  # of a task's field names


def prompts_of_file(
    path: Path, *, task: str, count: int | None, seed: int, fields: Mapping[str, str], layout: Format | None
) -> list[Row]:
    """The rows of a file, or a seeded sample of them; records may lack an answer, and those that have one lose it."""
    records = [(where, name, _open(record, fields, layout)) for where, name, record in named_records(path)]
    asked = {part: name for part, name in fields.items() if part in LOOKED_AT}
    rows = rows_from_records(records, task=task, fields=asked | ({"answer": "answer"} if "prompt" in asked else {}))
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


def _open(record: Mapping[str, Any], fields: Mapping[str, str], layout: Format | None) -> dict[str, Any]:
    """The record with what asks alone, and some answer in place of its own."""
    unread = {*ANSWERS, *SCORED, *(name for part, name in fields.items() if part not in LOOKED_AT)}
    if "prompt" in fields:
        unread |= {"messages", "conversations"}
    elif layout in ("messages", "sharegpt"):
        unread |= {"messages", "conversations"} - {"messages" if layout == "messages" else "conversations"}
    kept = {name: value for name, value in record.items() if name not in unread and value is not None}
    for name in ("messages", "conversations", "prompt"):
        turns = kept.get(name)
        if isinstance(turns, list) and turns and isinstance(turns[-1], Mapping):
            asked = turns if _speaker(turns[-1]) in ("user", "human") else turns[:-1]
            answer = [{"role": "assistant", "content": NOTHING}]
            return {**kept, **({name: asked, "completion": answer} if name == "prompt" else {name: [*asked, *answer]})}
    prompt = next((name for name, _ in PAIRS if name in kept), "prompt")
    return {**kept, next(answer for name, answer in PAIRS if name == prompt): NOTHING, "answer": NOTHING}


def _speaker(turn: Mapping[str, Any]) -> Any:
    return turn.get("role", turn.get("from"))
