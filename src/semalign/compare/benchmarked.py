"""The benchmarks of compared runs: every model's score over seeds and rows, and what changed since the student."""

from dataclasses import replace
from typing import Any

from ..errors import UserError
from .collect import TRAINED, Collection, Group
from .measured import Measured
from .resampled import Resampled

BEFORE = "student"
ASKED = ("protocol", "template", "num_fewshot", "samples", "temperature", "seed")
APART = "compare them apart"


def benchmarks(collection: Collection, *, seed: int = 0) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """By benchmark and model: score, interval and rows; of a trained student `change`, its score minus the one before.

    Nothing where not all runs asked the same benchmarks, and then a note on it.
    """
    groups = {name: _asked(group) for name, group in collection.groups.items()}
    runs = [run for group in groups.values() for run in group.runs.values()]
    first = max(runs, key=lambda run: len(run.scores))
    odd = next((run for run in runs if list(run.scores) != list(first.scores)), None)
    if odd is not None:
        return {}, [f"benchmarks are left out: {odd.folder} did not ask all that {first.folder} did of {odd.name}"]
    for run in runs:
        _check_alike(first, run)
    metrics = {task: score.metric for task, score in first.scores.items()}
    if not metrics:
        return {}, []
    drawn = Resampled(replace(collection, groups=groups, metrics=metrics), seed)
    return {task: {name: _cell(drawn, task, name) for name in groups} for task in metrics}, []


def _cell(drawn: Resampled, task: str, name: str) -> dict[str, Any]:
    groups = drawn.collection.groups
    score = drawn.interval(drawn.scores[task], name)
    is_trained = groups[name].role in TRAINED and BEFORE in groups
    change = drawn.difference(task, name, BEFORE) if is_trained else None
    return {
        "metric": drawn.collection.metrics[task],
        "score": score.value,
        "low": score.low,
        "high": score.high,
        "change": change._asdict() if change else None,
        "rows": len(groups[name].first.scores[task].ids),
    }


def _asked(group: Group) -> Group:
    """The group with the benchmarks in place of its tasks."""
    return replace(group, runs={seed: replace(run, scores=run.benchmarks) for seed, run in group.runs.items()})


def _check_alike(first: Measured, run: Measured) -> None:
    """Refuse a run that asked other rows, or asked them in another way."""
    for task, score in run.scores.items():
        if score.ids != first.scores[task].ids:
            raise UserError(f"{run.folder}: benchmark {task} was asked on other rows than in {first.folder}; {APART}")
        here, there = (each.whole["evaluation"]["benchmarks"] for each in (run, first))
        for part in ASKED:
            if here.get(part) != there.get(part):  # an older run's configuration names fewer
                raise UserError(
                    f"{run.folder}: evaluation.benchmarks.{part} is {here.get(part)} here and {there.get(part)} in "
                    f"{first.folder}; {APART}"
                )
