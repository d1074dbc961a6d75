"""Prompts without gold answers, which the teacher answers: rows of a file of their own, or of those not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from .formats import KEYS, PREFERENCES, ROLES, Format, format_of
from .jsonl import named_records
from .rows import SCORED, Row, fitting_pair, rows_from_records
from .sampling import permuted, twins

NOTHING = "-"  # stands for the missing answer while a record is read
ANSWERS = ("answer", "completion", "output")
LOOKED_AT = ("id", "prompt", "answer")  # of a task's field names


def prompts_of_file(path: Path, *, task: str, fields: Mapping[str, str], layout: Format | None) -> list[Row]:
    """The rows of a file; records may lack an answer, and those that have one lose it.

    A record's prompt is the one that it has as a training row.
    """
    asked = {part: name for part, name in fields.items() if part in LOOKED_AT}
    records = [(where, name, _open(record, asked, layout)) for where, name, record in named_records(path)]
    return unanswered(rows_from_records(records, task=task, fields=asked, layout=layout))


def prompts_beside(
    train: Sequence[Row], known: Sequence[Row], *, n_train: int | None, count: int, seed: int, task: str
) -> tuple[list[Row], list[str]]:
    """The `count` rows of train that come next in the order in which the first `n_train` were drawn for training.

    Those with the prompt of a `known` row are passed over, and a note says how many there are.
    """
    if n_train is None:
        raise UserError(
            f"task '{task}': rows.prompts takes rows that are not trained on; give rows.train, or a file as 'prompts'"
        )
    apart = {id(row) for row, twin in zip(train, twins(unanswered(train), known), strict=True) if twin is None}
    n_known = len(train) - len(apart)
    note = f"{n_known} train rows with the prompt of a test or validation row are not drawn as prompts"
    if n_train + count > len(apart):  # whichever rows a seed draws for training
        raise UserError(
            f"task '{task}': rows.train {n_train} and rows.prompts {count} ask for {n_train + count} rows of train, "
            f"there are {len(train)}{f' ({note})' if n_known else ''}"
        )
    order = permuted(train, seed=seed, task=task, split="train")[n_train:]
    drawn = [i for i in order if id(train[i]) in apart][:count]
    return unanswered([train[i] for i in sorted(drawn)]), [f"{task}: {note}"] if n_known else []


def apart_from_test(
    prompts: Sequence[Row], test: Sequence[Row], *, drop: bool, task: str
) -> tuple[list[Row], list[str]]:
    """The prompts that are no test row's, and a note on how many are left out; with `drop` off, one is an error."""
    found = [(row, twin) for row, twin in zip(prompts, twins(prompts, test), strict=True) if twin is not None]
    if found and not drop:
        row, twin = found[0]
        raise UserError(
            f"task '{task}': prompts row '{row.id}' has the prompt of test row '{twin.id}'; remove it, or set "
            "data.overlap: drop"
        )
    left_out = {id(row) for row, _ in found}
    note = f"{task}: {len(found)} of {len(prompts)} prompts are left out: they have the prompt of a test row"
    return [row for row in prompts if id(row) not in left_out], [note] if found else []


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
    prompt, answer = KEYS[layout] if layout in ("alpaca", "prompt-completion") else fitting_pair(kept)
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
    speaker = str(last.get("role", last.get("from")))
    return turns[:-1] if ROLES.get(speaker, speaker) == "assistant" else turns
