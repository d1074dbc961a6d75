"""What a record says of the benchmarks: every model's score, before and after, and how they were asked."""

from collections.abc import Mapping, Sequence
from typing import Any

from .config import Run
from .evaluation import mean_score
from .evaluation.benchmarks import BenchmarkScore
from .paired import differences
from .run_folder import RunFolder


def benchmark_record(
    config: Run, folder: RunFolder, models: Sequence[str], trained: Sequence[str]
) -> dict[str, Any] | None:
    """The scores by benchmark and model with their paired differences; None where no benchmark was asked."""
    options = config.benchmarks
    if options is None:
        return None
    scores = {name: _scores(folder, name, options.tasks) for name in models}
    outcomes = {name: {task: score.outcomes for task, score in found.items()} for name, found in scores.items()}
    return {
        "protocol": options.protocol,
        "template": options.template,
        "limit": options.limit,
        "seed": options.seed,
        "tasks": {task: _task({name: scores[name][task] for name in models}) for task in options.tasks},
        "mean_score": {name: mean_score(outcomes[name], seed=config.seed)._asdict() for name in models},
        "differences": differences(outcomes, trained, config.method.name, config.seed),
    }


def _scores(folder: RunFolder, name: str, tasks: Sequence[str]) -> dict[str, BenchmarkScore]:
    found = {task: BenchmarkScore.load(folder / "benchmarks" / name, task) for task in tasks}
    return {task: score for task, score in found.items() if score is not None}


def _task(scores: Mapping[str, BenchmarkScore]) -> dict[str, Any]:
    first = next(iter(scores.values()))
    shown = ("score", "low", "high", "standard_error")
    return {
        "metric": first.metric,
        "few_shot": first.few_shot,
        "rows": first.rows,
        "sampling": first.settings["sampling"],
        "scores": {name: {number: getattr(score, number) for number in shown} for name, score in scores.items()},
    }
