"""A run's record.json: read, completed with empty parts, and asked what every part of a report asks."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from ..artifacts import read_json
from ..errors import UserError

Record = dict[str, Any]
Number = int | float | None

ROLES = (
    "before",
    "control",
    "method",
    "teacher",
)  # the order of rows: from where the student starts to where it should go
MEAN = "mean"  # the task name under which a difference is over all tasks
LIKELIHOOD = "byte_probability"  # the metric of a task without a scorer: the gold answer's probability a byte
LEVEL = 95  # percent; the level of every interval that evaluation.statistics writes

_PARTS: dict[str, Any] = {
    **dict.fromkeys(("command", "started", "config"), ""),
    **dict.fromkeys(
        ("seconds", "peak_bytes", "attribution", "pairing", "basis", "benchmarks", "overlap", "tokenizers", "answers")
    ),
    **dict.fromkeys(("tasks", "differences", "costs", "warnings", "citations", "notes"), ()),
    **{part: {} for part in ("environment", "mean_score", "mean_gap", "training", "student", "teacher", "diagnostics")},
    "name": "run",
    "reference": "teacher",
}


def read_record(folder: Path) -> Record:
    """The completed record of a run folder."""
    path = folder / "record.json"
    return complete(read_json(path), str(path))


def complete(record: Any, where: str = "record") -> Record:
    """The record with every optional part present, empty where the run had none."""
    if not isinstance(record, Mapping):
        raise UserError(f"{where}: not the record of a run (expected a JSON object); run the configuration again")
    for part, kind in (("models", list), ("scores", dict)):
        if not isinstance(record.get(part), kind):
            raise UserError(f"{where}: not the record of a run (no '{part}'); run the configuration again")
    return {**_PARTS, **{part: value for part, value in record.items() if value is not None}}


def known(value: Any) -> TypeGuard[float]:
    """Whether a number was measured (neither null nor NaN)."""
    return value is not None and not math.isnan(value)


def models(record: Record) -> list[dict[str, Any]]:
    """The models in the order of a table: student before, controls, methods, teachers."""
    filled = [{"label": model["key"], "role": "control", **model} for model in record["models"]]
    return sorted(filled, key=lambda model: ROLES.index(model["role"]) if model["role"] in ROLES else len(ROLES))


def label(record: Record, key: str) -> str:
    """How a model is called in tables and sentences."""
    return next((str(model["label"]) for model in models(record) if model["key"] == key), key)


def main_method(record: Record) -> str | None:
    """The key of the method that the question is about: `semalign`, else the first of that role."""
    return _first(record, "semalign", "method")


def main_control(record: Record) -> str | None:
    """The key of the control it is compared with: `sft`, else the first of that role."""
    return _first(record, "sft", "control")


def _first(record: Record, favourite: str, role: str) -> str | None:
    keys = [model["key"] for model in models(record) if model["role"] == role]
    return favourite if favourite in keys else next(iter(keys), None)


def score(record: Record, task: str, key: str) -> dict[str, Any]:
    """What was measured of a model on a task; empty where nothing was."""
    return record["scores"].get(task, {}).get(key) or {}


def scored_tasks(record: Record) -> list[str]:
    """Tasks on which at least one model has a score."""
    return [
        task for task, row in record["scores"].items() if any(known((cell or {}).get("score")) for cell in row.values())
    ]


def likelihood_tasks(record: Record) -> list[str]:
    """Tasks whose score is the probability of the gold answers, not a share of correct ones."""
    return [
        task
        for task in scored_tasks(record)
        if any((cell or {}).get("metric") == LIKELIHOOD for cell in record["scores"][task].values())
    ]


def the_teacher(record: Record) -> str:
    """The teacher that gaps are measured to, in words."""
    return "the teacher" if record["reference"] == "teacher" else "the adapted teacher"


def mean(record: Record, part: str, key: str) -> dict[str, Any]:
    """`mean_score` or `mean_gap` of a model: value, low, high; empty where there is none."""
    return record[part].get(key) or {}


def mean_bits(record: Record, key: str) -> Number:
    """Bits per byte of gold answers, averaged over the tasks where it was measured; lower is better."""
    cells = [score(record, task, key).get("bits_per_byte") for task in record["scores"]]
    measured = [bits for bits in cells if known(bits)]
    return sum(measured) / len(measured) if measured else None


def difference(record: Record, a: str, b: str, task: str = MEAN) -> dict[str, Any] | None:
    """The paired difference a - b on a task, or on the mean of all; None where it was not measured."""
    for item in record["differences"]:
        if item.get("task", MEAN) != task or not all(known(item.get(end)) for end in ("value", "low", "high")):
            continue
        if (item["a"], item["b"]) == (a, b):
            return item
        if (item["a"], item["b"]) == (b, a):
            return {**item, "a": a, "b": b, "value": -item["value"], "low": -item["high"], "high": -item["low"]}
    return None
