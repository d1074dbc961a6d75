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
    columns = next(iter(scores.values()))
    outcomes = {name: {task: found[task].outcomes for task in options.tasks} for name, found in scores.items()}
    beside = [column for column in columns if column not in options.tasks]
    further = {name: {column: found[column].outcomes for column in beside} for name, found in scores.items()}
    return {
        "protocol": options.protocol,
        "template": options.template,
        "limit": options.limit,
        "seed": options.seed,
        "tasks": {column: _task({name: scores[name][column] for name in models}) for column in columns},
        "mean_score": {name: mean_score(outcomes[name], seed=config.seed)._asdict() for name in models},
        "differences": [
            *differences(outcomes, trained, config.method.name, config.seed),
            *(differences(further, trained, config.method.name, config.seed, mean=False) if beside else ()),
        ],
    }


def _scores(folder: RunFolder, name: str, tasks: Sequence[str]) -> dict[str, BenchmarkScore]:
    """By benchmark, and by benchmark and k where pass@k is told: no mean over benchmarks counts answers twice."""
    found = [BenchmarkScore.load(folder / "benchmarks" / name, task) for task in tasks]
    return {column: score for each in found if each is not None for column, score in each.columns.items()}


def _task(scores: Mapping[str, BenchmarkScore]) -> dict[str, Any]:
    first = next(iter(scores.values()))
    shown = ("score", "low", "high", "standard_error")
    return {
        "benchmark": first.task,
        "metric": first.metric,
        "few_shot": first.few_shot,
        "rows": first.rows,
        "sampling": first.settings["sampling"],
        "draws": first.settings.get("draws"),
        "scores": {name: {number: getattr(score, number) for number in shown} for name, score in scores.items()},
    }
