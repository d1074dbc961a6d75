"""What machines read of a run: summary.json."""

from collections.abc import Mapping
from typing import Any

from .record import Record, complete, known, mean, models, score

ALWAYS = (
    "student",
    "sft",
    "semalign",
    "teacher",
)  # keys that a reader may rely on; null where the run had no such model


def summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """Scores and mean gaps in [0, 1] by task and model, seconds, bytes, versions; null where nothing was measured."""
    full = complete(record)
    keys = list(dict.fromkeys([*ALWAYS, *(model["key"] for model in models(full))]))
    benchmarks = full["benchmarks"]
    return {
        "tasks": {task: {key: _number(score(full, task, key).get("score")) for key in keys} for task in full["scores"]},
        "mean_gap": {key: _number(_gap(full, key)) for key in keys if key != full["reference"]},
        **({"benchmarks": _benchmarks(benchmarks["tasks"], keys)} if benchmarks else {}),
        "seconds": full["seconds"],
        "peak_bytes": full["peak_bytes"],
        "versions": dict(full["environment"].get("versions", {})),
    }


def _benchmarks(tasks: Mapping[str, Any], keys: list[str]) -> dict[str, dict[str, float | None]]:
    shown = {task: about["scores"] for task, about in tasks.items()}
    return {task: {key: _number((row.get(key) or {}).get("score")) for key in keys} for task, row in shown.items()}


def _gap(record: Record, key: str) -> Any:
    return mean(record, "mean_gap", key).get("value")


def _number(value: Any) -> float | None:
    """None for NaN too: JSON has no NaN."""
    return float(value) if known(value) else None
