"""One model of one finished run: its outcomes by row, what it cost, and the configuration that decides them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..artifacts import read_json
from ..errors import UserError
from ..evaluation import TaskScore
from ..evaluation.benchmarks import BenchmarkScore
from ..report.trained_on import whose
from ..run_folder import WRITE_ANSWERS

ADAPTED = "teacher_adapted"
FACTS = ("trainable", "steps", "train_tokens", "teacher_tokens")
# What decides the numbers of a model, by its role; `method` is the model's own.
DECIDES = {
    "before": ("student",),
    "teacher": ("teacher",),
    ADAPTED: ("teacher", "data", "training"),
    "control": ("student", "teacher", "data", "method", "training"),
    "method": ("student", "teacher", "data", "method", "training"),
}


@dataclass(frozen=True)
class Measured:
    """A model of a run, under the name it gets in tables."""

    name: str
    key: str
    """Its name in the run."""
    role: str
    label: str
    seed: int
    folder: Path
    scores: Mapping[str, TaskScore]
    benchmarks: Mapping[str, TaskScore]
    """By benchmark, outcomes alone; empty where the run asked none."""
    whole: Mapping[str, Any]
    """The run's configuration."""
    method: Mapping[str, Any] | None
    facts: Mapping[str, Any]
    """Of its plan and training, and of the teacher's answers where it was trained on them: seconds,
    peak_bytes, and those of FACTS."""
    reference: str
    """The teacher that gaps of this run are measured to."""

    def called(self, name: str) -> "Measured":
        return replace(self, name=name)

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        """By task, one number in [0, 1] a row, higher is better: the scorer's outcome, or the gold answer's
        probability a byte where there is none."""
        return {task: np.asarray(score.values) for task, score in self.scores.items()}

    @cached_property
    def config(self) -> dict[str, Any]:
        """What of the run's configuration decides the numbers of this model, beside the seed."""
        parts = {**self.whole, "method": self.method and {"answers": whose(self.method), **self.method}}
        if not self.method or self.key == ADAPTED:  # what the teacher writes decides nothing of such a model
            parts["teacher"] = {name: x for name, x in self.whole["teacher"].items() if name != "writes"}
        return {part: parts[part] for part in DECIDES[self.key if self.key == ADAPTED else self.role]}


def read_run(folder: Path) -> list[Measured]:
    """Every model that a finished run measured, in the order of its record."""
    record = read_json(folder / "record.json")
    whole = yaml.safe_load(record["config"])
    if any(fact not in model for model in record["models"] for fact in FACTS):
        raise UserError(
            f"{folder}: the record is an older version's and lacks some of {', '.join(FACTS)}; run it again into a new "
            "folder"
        )
    return [
        Measured(
            name=model["key"],
            key=model["key"],
            role=model["role"],
            label=model["label"],
            seed=whole["seed"],
            folder=folder,
            scores=_scores(folder / "eval" / model["key"]),
            benchmarks=_benchmarks(folder / "benchmarks" / model["key"], record.get("benchmarks")),
            whole=whole,
            method=model["method"],
            facts=_facts(record, model),
            reference=record["reference"],
        )
        for model in record["models"]
    ]


def _scores(folder: Path) -> dict[str, TaskScore]:
    """Without the samples: the prompts of some hundred runs would fill the memory."""
    return {task: replace(score, samples=[]) for task, score in TaskScore.load(folder).items()}


def _benchmarks(folder: Path, asked: Mapping[str, Any] | None) -> dict[str, TaskScore]:
    found = [BenchmarkScore.load(folder, task) for task in asked["tasks"]] if asked else []
    columns = [score.columns.items() for score in found if score is not None]
    return {name: _outcomes(score) for column in columns for name, score in column}


def _outcomes(score: BenchmarkScore) -> TaskScore:
    """What a comparison reads of a benchmark; no gold answers' bits are measured there."""
    return TaskScore(
        task=score.task,
        metric=score.metric,
        score=score.score,
        outcomes=score.outcomes,
        bits_per_byte=0.0,
        row_bits=[],
        row_bytes=[],
        ids=score.ids,
        samples=[],
    )


def _facts(record: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    stages = {f"{work} {model['key']}" for work in ("prepare", "cache", "train")}
    stages |= {WRITE_ANSWERS} if whose(model["method"]) != "gold" else set()
    costs = [cost for cost in record["costs"] if cost["stage"] in stages]
    return {
        "seconds": sum(cost["seconds"] for cost in costs),
        "peak_bytes": max((cost["peak_bytes"] for cost in costs), default=0),
        **{fact: model[fact] for fact in FACTS},
    }
