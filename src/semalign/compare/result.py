"""The numbers of a comparison: scores, gaps and differences with their intervals, and who beats whom."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from ..evaluation.statistics import Interval
from .collect import Collection, Group
from .statistics import Sampled, intervals, mean_of, sample_rows, simultaneous

MEAN = "mean"
SFT = "sft"
TRAINED = ("control", "method")


@dataclass(frozen=True, eq=False)
class Resampled:
    """Every model of a collection, resampled on the same rows and seeds."""

    collection: Collection
    seed: int = 0

    @cached_property
    def names(self) -> list[str]:
        return list(self.collection.groups)

    @cached_property
    def scores(self) -> dict[str, Sampled]:
        """By task, and the mean of all under `mean`."""
        return self._with_mean({task: self._sample(task, bits=False) for task in self.collection.metrics})

    @cached_property
    def bits(self) -> dict[str, Sampled]:
        """Bits per byte of gold answers; likewise."""
        return self._with_mean({task: self._sample(task, bits=True) for task in self.collection.metrics})

    @cached_property
    def gaps(self) -> Sampled:
        """Mean over tasks of the distance to the reference's score, on either side of it."""
        reference = self.names.index(self.collection.reference)
        every = range(len(self.collection.seeds))
        tasks = [self.scores[task] for task in self.collection.metrics]
        return mean_of([task.minus(task.pick([reference], every)).distance() for task in tasks])

    def interval(self, sampled: Sampled, name: str) -> Interval:
        places = self.places([name])
        return intervals(sampled.pick([self.names.index(name)], places), seed=self.seed)[0]

    def differences(self, task: str, names: Sequence[str], than: str) -> Sampled:
        """Of the scores of some models and one other on the seeds that all of them have."""
        places = self.places([*names, than])
        ours = self.scores[task].pick([self.names.index(name) for name in names], places)
        return ours.minus(self.scores[task].pick([self.names.index(than)], places))

    def difference(self, task: str, name: str, than: str) -> Interval | None:
        """None where no seed has both."""
        if not self.places([name, than]):
            return None
        return intervals(self.differences(task, [name], than), seed=self.seed)[0]

    def places(self, names: Sequence[str]) -> list[int]:
        """Places of the seeds that all these models have."""
        runs = [self.collection.groups[name].runs for name in names]
        return [place for place, seed in enumerate(self.collection.seeds) if all(seed in held for held in runs)]

    def _sample(self, task: str, *, bits: bool) -> Sampled:
        groups = self.collection.groups.values()
        rows = {
            seed: next(g.runs[seed] for g in groups if seed in g.runs).scores[task] for seed in self.collection.seeds
        }
        sizes = {seed: np.asarray(score.row_bytes, dtype=np.float64) for seed, score in rows.items()}
        weights = sizes if bits else {seed: np.ones(len(score.ids)) for seed, score in rows.items()}

        def of(group: Group) -> dict[int, np.ndarray]:
            if not bits:
                return {seed: run.values[task] for seed, run in group.runs.items()}
            return {seed: np.asarray(run.scores[task].row_bits) / sizes[seed] for seed, run in group.runs.items()}

        ids = {seed: score.ids for seed, score in rows.items()}
        return sample_rows([of(group) for group in groups], weights, ids, task=task, seed=self.seed)

    @staticmethod
    def _with_mean(tasks: dict[str, Sampled]) -> dict[str, Sampled]:
        return {**tasks, MEAN: mean_of(list(tasks.values()))}


def result(collection: Collection, *, seed: int = 0) -> dict[str, Any]:
    """What compare.json holds; its format is described in docs/compare.md."""
    drawn = Resampled(collection, seed)
    tasks = {task: {name: _task(drawn, task, name) for name in drawn.names} for task in collection.metrics}
    axes = dict.fromkeys(group.axis for group in collection.groups.values() if group.axis)
    return {
        "methods": {name: _method(drawn, name, tasks) for name in drawn.names},
        "tasks": tasks,
        "metrics": collection.metrics,
        "differences": list(_differences(drawn)),
        "axes": {axis: _axis(drawn, axis) for axis in axes},
        "significance": _significance(drawn),
        "reference": collection.reference,
        "base": collection.base,
        "control": SFT if SFT in collection.groups else None,
        "seeds": collection.seeds,
        "failed": collection.failed,
        "notes": collection.notes,
        "config": collection.config,
    }


def _method(drawn: Resampled, name: str, tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    group = drawn.collection.groups[name]
    gap = drawn.interval(drawn.gaps, name)
    facts = [run.facts for run in group.runs.values()]
    return {
        "role": group.role,
        "axis": group.axis,
        "label": group.label,
        "mean_score": drawn.interval(drawn.scores[MEAN], name)._asdict(),
        # Resampled distances lean upwards where the true one is small: the interval is widened to hold the value.
        "mean_gap": Interval(gap.value, max(0.0, min(gap.value, gap.low)), max(gap.value, gap.high))._asdict(),
        "bits_per_byte": drawn.interval(drawn.bits[MEAN], name)._asdict(),
        "overshoots": [task for task, row in tasks.items() if row[name]["gap"]["value"] > 0],
        "seconds": float(np.mean([fact["seconds"] for fact in facts])),
        "peak_bytes": max(fact["peak_bytes"] for fact in facts),
        "trainable": max(fact["trainable"] for fact in facts),
        "steps": max(fact["steps"] for fact in facts),
        "train_tokens": float(np.mean([fact["train_tokens"] for fact in facts])),
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
    assert gap is not None  # collect leaves out seeds without the reference
    return {
        "metric": collection.metrics[task],
        **_named(drawn.interval(drawn.scores[task], name), "score"),
        "gap": gap._asdict(),
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
