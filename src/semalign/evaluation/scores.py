"""The result of one evaluated task, with every prompt and generation, as a file of its own."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from semalign.artifacts import read_json, write_json

LIKELIHOOD = "byte_probability"
"""What is measured of a task without a score: the gold answer's probability a byte."""


@dataclass(frozen=True)
class TaskScore:
    """How a model did on the rows of one task; all lists are by row.

    `score` is the mean of `outcomes`, in [0, 1], higher is better; None where the task has no scorer, or could not be
    scored and `reason` says why. `bits_per_byte` is of the gold answers given their prompts, without the end token: the
    sum of `row_bits` over the sum of `row_bytes`, lower is better. `samples` holds prompt, generation, gold and outcome
    of every row; `protocol` and `versions` say how they were had.
    """

    task: str
    metric: str
    score: float | None
    outcomes: list[float]
    bits_per_byte: float
    row_bits: list[float]
    row_bytes: list[int]
    ids: list[str]
    samples: list[dict[str, Any]] = field(repr=False)
    protocol: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    reason: str | None = None

    @property
    def measured(self) -> str:
        """What `values` are: the metric, or `byte_probability` where there is no score."""
        return self.metric if self.score is not None else LIKELIHOOD

    @property
    def values(self) -> list[float]:
        """One number in [0, 1] a row, higher is better: the outcome, or the gold answer's probability a byte."""
        if self.score is not None:
            return list(self.outcomes)
        return [2 ** (-bits / size) for bits, size in zip(self.row_bits, self.row_bytes, strict=True)]

    def save(self, folder: Path) -> Path:
        """Write folder/<task>.json, whole or not at all."""
        path = folder / f"{self.task}.json"
        write_json(path, asdict(self))
        return path

    @classmethod
    def load(cls, folder: Path) -> "dict[str, TaskScore]":
        """The scores saved in a folder by task; empty where there are none."""
        scores = [cls(**read_json(path)) for path in sorted(folder.glob("*.json"))]
        return {score.task: score for score in scores}
