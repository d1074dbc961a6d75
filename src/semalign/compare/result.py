"""The numbers of a comparison: scores, gaps and differences with their intervals, and who beats whom."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from ..evaluation.statistics import Interval
from .answer import answer
from .benchmarked import benchmarks
from .collect import TRAINED, Collection
from .resampled import MEAN, Resampled
from .rows import check_rows
from .statistics import simultaneous

SFT = "sft"


def result(collection: Collection, *, seed: int = 0) -> dict[str, Any]:
    """What compare.json holds; its format is described in docs/compare.md."""
    drawn = Resampled(collection, seed)
    tasks = {task: {name: _task(drawn, task, name) for name in drawn.names} for task in collection.metrics}
    asked, notes = benchmarks(collection, seed=seed)
    answered = answer(drawn, collection.recommended) if collection.recommended else None
    apart = check_rows(collection, collection.recommended, answered["rivals"]) if answered else []
    axes = dict.fromkeys(group.axis for group in collection.groups.values() if group.axis)
    return {
        "answer": answered,
        "methods": {name: _method(drawn, name, tasks) for name in drawn.names},
        "tasks": tasks,
        "metrics": collection.metrics,
        "benchmarks": asked,
        "differences": list(_differences(drawn)),
        "axes": {axis: _axis(drawn, axis) for axis in axes},
        "significance": _significance(drawn),
        "reference": collection.reference,
        "base": collection.base,
        "control": SFT if SFT in collection.groups else None,
        "seeds": collection.seeds,
        "failed": collection.failed,
        "notes": [*apart, *collection.notes, *notes],
        "config": {key: value for key, value in collection.config.items() if key != "root"},  # may be published
    }


def _method(drawn: Resampled, name: str, tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    group = drawn.collection.groups[name]
    signed = drawn.difference(MEAN, name, drawn.collection.reference)
    assert signed is not None  # collect leaves out seeds without the reference
    facts = [run.facts for run in group.runs.values()]
    return {
        "role": group.role,
        "axis": group.axis,
        "label": group.label,
        "mean_score": drawn.interval(drawn.scores[MEAN], name)._asdict(),
        "mean_gap": drawn.closeness(MEAN, name)._asdict(),
        "signed_gap": signed._asdict(),
        "bits_per_byte": drawn.interval(drawn.bits[MEAN], name)._asdict(),
        "overshoots": [task for task, row in tasks.items() if row[name]["gap"]["value"] > 0],
        "seconds": float(np.mean([fact["seconds"] for fact in facts])),
        "peak_bytes": max(fact["peak_bytes"] for fact in facts),
        "trainable": max(fact["trainable"] for fact in facts),
        "steps": max(fact["steps"] for fact in facts),
        "train_tokens": float(np.mean([fact["train_tokens"] for fact in facts])),
        "teacher_tokens": float(np.mean([fact["teacher_tokens"] for fact in facts])),
        "seeds": list(group.runs),
        "is_base": _is_base(drawn.collection, name),
        "overrides": dict(group.overrides),
        "budget": list(group.budget),
        "method": group.first.method,
    }


def _task(drawn: Resampled, task: str, name: str) -> dict[str, Any]:
    """`gap` is the signed difference to the reference: above 0 the model passes it."""
    collection = drawn.collection
    gap = drawn.difference(task, name, collection.reference)
    assert gap is not None
    return {
        "metric": collection.metrics[task],
        **_named(drawn.interval(drawn.scores[task], name), "score"),
        "gap": gap._asdict(),
        "closeness": drawn.closeness(task, name)._asdict(),
        "bits_per_byte": drawn.interval(drawn.bits[task], name).value,
        "rows": len(collection.groups[name].first.scores[task].ids),
    }


def _is_base(collection: Collection, name: str) -> bool:
    """Whether a variant says what the base says, so that its runs are the base's."""
    base = collection.groups.get(collection.base)
    group = collection.groups[name]
    return base is not None and bool(group.axis) and group.first.folder == base.first.folder


def _named(interval: Interval, value: str) -> dict[str, float]:
    return {value: interval.value, "low": interval.low, "high": interval.high}


def _differences(drawn: Resampled) -> Iterator[dict[str, Any]]:
    """Of every trained student and the base, and of every one and LoRA-SFT: on each task and on their mean."""
    groups = drawn.collection.groups
    against = [name for name in (drawn.collection.base, SFT) if name in groups]
    for than in against:
        for name, group in groups.items():
            if name == than or group.role not in TRAINED:
                continue
            for task in (MEAN, *drawn.collection.metrics):
                found = drawn.difference(task, name, than)
                if found is not None:
                    n_seed = len(drawn.places([name, than]))
                    yield {"a": name, "b": than, "task": task, **found._asdict(), "seeds": n_seed}


def _axis(drawn: Resampled, axis: str) -> dict[str, Any]:
    """The variants of an axis, and those that stay apart from the base when all are compared at once."""
    groups = drawn.collection.groups
    names = [name for name, group in groups.items() if group.axis == axis]
    base = drawn.collection.base
    apart: list[str] = []
    if base in groups and drawn.places([*names, base]):
        found = simultaneous(drawn.differences(MEAN, names, base), seed=drawn.seed)
        apart = [name for name, each in zip(names, found, strict=True) if not each.low <= 0 <= each.high]
    return {"variants": names, "apart_at_once": apart}


def _significance(drawn: Resampled) -> list[dict[str, Any]]:
    """Pairs of trained students whose difference on the mean of tasks is apart from 0, the better one first."""
    found = []
    for a, b in _pairs(drawn.collection):
        difference = drawn.difference(MEAN, a, b)
        if difference is None or difference.low <= 0 <= difference.high:
            continue
        value, low, high = difference
        if value > 0:
            found.append({"better": a, "worse": b, "value": value, "low": low, "high": high})
        else:
            found.append({"better": b, "worse": a, "value": -value, "low": -high, "high": -low})
    return sorted(found, key=lambda each: -each["value"])


def _pairs(collection: Collection) -> list[tuple[str, str]]:
    """All pairs of students, but of two axes none: their variants differ in more than one thing."""
    groups = collection.groups
    trained = {name: g for name, g in groups.items() if g.role in TRAINED and not _is_base(collection, name)}
    return [
        (a, b)
        for a, b in combinations(trained, 2)
        if not (trained[a].axis and trained[b].axis) or trained[a].axis == trained[b].axis
    ]
