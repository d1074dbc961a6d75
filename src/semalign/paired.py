"""Paired differences between the models of a run, task by task and on the mean of tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from .evaluation import mean_difference, paired_difference

Outcomes = Mapping[str, Sequence[float]]
"""By task, one number in [0, 1] a row, higher is better."""


def differences(
    outcomes: Mapping[str, Outcomes], trained: Sequence[str], main: str, seed: int, *, mean: bool = True
) -> list[dict[str, Any]]:
    """Each trained model against the student before, and the method (`main`) against each control, on the same rows:
    by task, and with `mean` on the mean of tasks."""
    pairs = [(name, "student") for name in trained] + [(main, name) for name in trained if name != main]
    rows = []
    for a, b in pairs:
        for task in outcomes[a]:
            interval = paired_difference(outcomes[a][task], outcomes[b][task], seed=seed, task=task)
            rows.append({"a": a, "b": b, "task": task, **interval._asdict()})
        if mean:
            interval = mean_difference(outcomes[a], outcomes[b], seed=seed)
            rows.append({"a": a, "b": b, "task": "mean", **interval._asdict()})
    return rows
