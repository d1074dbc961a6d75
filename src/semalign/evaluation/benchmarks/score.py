"""The result of one benchmark, with all that is needed to believe it, as a file of its own."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

from semalign.artifacts import read_json, write_json
from semalign.evaluation.statistics import bootstrap_interval

PACKAGES = ("semalign", "lm_eval", "torch", "transformers", "tokenizers", "datasets")


class PassAt(TypedDict):
    """What a BenchmarkScore says of pass@k; `outcomes` are each row's unbiased pass@k."""

    score: float
    low: float
    high: float
    standard_error: float
    outcomes: list[float]


@dataclass(frozen=True, kw_only=True)
class BenchmarkScore:
    """How a model did on a benchmark; all lists are by row.

    `score` is the mean of `outcomes`, in [0, 1]; `low` and `high` are its 95 % interval over rows and
    `standard_error` that of the mean. `also` holds further metrics, `pass_at` those beside pass@1 by k, `settings` how
    the rows were asked, `samples` every prompt and every generation.
    """

    task: str
    protocol: str
    metric: str
    score: float
    low: float
    high: float
    standard_error: float
    rows: int
    few_shot: int
    seconds: float
    also: dict[str, float]
    settings: dict[str, Any]
    versions: dict[str, str]
    ids: list[str]
    outcomes: list[float]
    samples: list[dict[str, Any]] = field(repr=False)
    pass_at: dict[str, PassAt] = field(default_factory=dict)

    @property
    def columns(self) -> "dict[str, BenchmarkScore]":
        """The result by benchmark, then by 'benchmark pass@k' the same with pass@k in the place of the score."""
        beside = {f"{self.task} pass@{k}": replace(self, metric=f"pass@{k}", **at) for k, at in self.pass_at.items()}
        return {self.task: self, **beside}

    def save(self, folder: Path) -> None:
        """Write folder/<task>.json, whole or not at all."""
        write_json(folder / f"{self.task}.json", asdict(self))

    @classmethod
    def load(cls, folder: Path, task: str) -> "BenchmarkScore | None":
        """The saved result of a benchmark, None where there is none."""
        path = folder / f"{task}.json"
        return cls(**read_json(path)) if path.exists() else None


def scored(*, task: str, outcomes: Sequence[float], **rest: Any) -> BenchmarkScore:
    """A result with its uncertainty and the versions it was made with."""
    versions = {name: version(name) for name in PACKAGES}
    return BenchmarkScore(task=task, rows=len(outcomes), versions=versions, **uncertain(outcomes, task), **rest)


def uncertain(outcomes: Sequence[float], task: str) -> PassAt:
    """The mean of a benchmark's rows, its 95 % interval over rows and its standard error."""
    interval, n = bootstrap_interval(outcomes, task=task), len(outcomes)
    return {
        "score": interval.value,
        "low": interval.low,
        "high": interval.high,
        "standard_error": statistics.stdev(outcomes) / math.sqrt(n) if n > 1 else 0.0,
        "outcomes": list(outcomes),
    }


def sampling_text(n_asked: int, n_all: int, seed: int) -> str:
    """Which rows a score is about, in words."""
    if n_asked == n_all:
        return f"all {n_all} rows"
    return f"{n_asked} of {n_all} rows, a fixed random sample (seed {seed})"
