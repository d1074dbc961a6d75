"""Prompts without gold answers, which the teacher answers: rows of a file of their own, or of those not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from .formats import PREFERENCES, ROLES, Format, format_of
from .jsonl import named_records
from .rows import SCORED, Row, fitting_pair, rows_from_records
from .sampling import permuted, sample

NOTHING = "-"  # stands for the missing answer while a record is read
ANSWERS = ("answer", "completion", "output")
TEXTS = {"alpaca": ("instruction", "output"), "prompt-completion": ("prompt", "completion")}
"""Formats that name the fields of prompt and answer."""
LOOKED_AT = ("id", "prompt", "answer")  # of a task's field names


def prompts_of_file(
    path: Path, *, task: str, count: int | None, seed: int, fields: Mapping[str, str], layout: Format | None
) -> list[Row]:
    """The rows of a file, or a seeded sample of them; records may lack an answer, and those that have one lose it.

    A record's prompt is the one that it has as a training row.
    """
    asked = {part: name for part, name in fields.items() if part in LOOKED_AT}
    records = [(where, name, _open(record, asked, layout)) for where, name, record in named_records(path)]
    rows = rows_from_records(records, task=task, fields=asked, layout=layout)
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
    """The record with a stand-in for every answer in it, and for the one that its layout lacks.

    Its other fields are as they were, so that it is read as the training row that it would be.
    """
    unread = {*PREFERENCES, *SCORED, "label"}
    kept = {name: value for name, value in record.items() if name not in unread and value is not None}
    for name in ("messages", "conversations"):
        if isinstance(kept.get(name), list):
            kept[name] = _answered(kept[name])
    prompt, answer = TEXTS.get(layout or "") or fitting_pair(kept)
    turns, found = kept.get("completion"), layout or format_of(kept)
    kept |= dict.fromkeys([*(name for name in ANSWERS if name in kept), fields.get("answer", answer)], NOTHING)
    is_chat = prompt == "prompt" and isinstance(kept.get("prompt"), list) and "prompt" not in fields
    if is_chat and found in (None, "prompt-completion"):
        asked, said = (kept["prompt"], turns) if isinstance(turns, list) else (_asked(kept["prompt"]), [])
        kept |= {"prompt": asked, "completion": _answered(said)}
    return kept


def _answered(turns: list[Any]) -> list[Any]:
    return [*_asked(turns), {"role": "assistant", "content": NOTHING}]


def _asked(turns: list[Any]) -> list[Any]:
    """The turns without the answer that they end with, if they do."""
    last: Mapping[str, Any] = turns[-1] if turns and isinstance(turns[-1], Mapping) else {}
    speaker = last.get("role", last.get("from"))
    return turns[:-1] if ROLES.get(speaker, speaker) == "assistant" else turns
