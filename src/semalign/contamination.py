"""The tasks of a run, apart from what the run is scored on: rows trained on that also stand, or nearly, among those."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .config import Run
from .data import Row, Task, load_task
from .data.benchmarks import tested_rows
from .data.overlap import Overlap, find_overlap
from .data.sampling import twins
from .errors import UserError

TRAINING = ("train", "align", "extract", "prompts")
"""Splits that a method trains or fits on."""
SHOWN = 3  # pairs of rows that a warning names
KEPT = 50  # pairs of rows that a record holds


@dataclass(frozen=True)
class Contamination:
    """What the training rows of a run share with the rows it is scored on."""

    found: list[Overlap]
    action: str
    n_word: int
    n_training: int

    @property
    def warnings(self) -> list[str]:
        """One line, or none."""
        if not self.found:
            return []
        done = "were left out" if self.action == "drop" else "are trained on; data.overlap: drop leaves them out"
        return [f"{self._shared()}; they {done}"]

    def refuse(self) -> None:
        if self.found and self.action == "refuse":
            raise UserError(f"{self._shared()}; remove them, or set data.overlap to drop or report")

    def plain(self) -> dict[str, Any]:
        """What a record holds."""
        pairs = [
            {"training": _name(each.training), "evaluation": _name(each.evaluation), "words": each.words}
            for each in self.found[:KEPT]
        ]
        about = {"action": self.action, "n": self.n_word, "training_rows": self.n_training}
        return {**about, "rows": len(self.found), "pairs": pairs}

    def _shared(self) -> str:
        named = ", ".join(f"{_name(each.training)} with {_name(each.evaluation)}" for each in self.found[:SHOWN])
        return (
            f"{len(self.found)} of {self.n_training} training rows share {self.n_word} words in a row, or the prompt, "
            f"with a row that is scored ({named}{', ...' if len(self.found) > SHOWN else ''})"
        )


def load_tasks(config: Run) -> tuple[list[Task], Contamination]:
    """The tasks without the rows that `data.overlap: drop` leaves out, and what was found.

    Raises UserError for `refuse`, and where a row that is trained on is one that is scored, of any task; with `drop`
    that row is left out like the others.
    """
    action, n = config.data.overlap, config.data.overlap_words
    tasks = [load_task(spec, seed=config.seed, root=config.root, drop=action == "drop") for spec in config.tasks]
    training = [row for task in tasks for split in TRAINING for row in task.splits.get(split, ())]
    scored = [row for task in tasks for row in task.splits[config.evaluation.split]]
    if action != "drop":
        _refuse_same(training, scored)
    options = config.benchmarks
    asked = [row for name in options.tasks for row in tested_rows(name, options.data)] if options else []
    shared = find_overlap(training, [*scored, *asked], n=n)
    if action == "drop":
        shared += _same_prompts(training, scored, shared, n)
    found = Contamination(shared, action, n, len(training))
    found.refuse()
    return [_without(task, found.found) for task in tasks] if action == "drop" else tasks, found


def _same_prompts(training: Sequence[Row], scored: Sequence[Row], found: Sequence[Overlap], n: int) -> list[Overlap]:
    """Prompts of scored rows that are not among those found: too common a text, or laid out otherwise."""
    known = {id(each.training) for each in found}
    prompts = [row for row in training if not row.answer and id(row) not in known]
    return [
        Overlap(row, twin, " ".join(row.prompt.split()[:n]))
        for row, twin in zip(prompts, twins(prompts, scored), strict=True)
        if twin is not None
    ]


def _without(task: Task, found: Sequence[Overlap]) -> Task:
    left_out = {id(each.training) for each in found}
    kept = {
        split: [row for row in rows if split not in TRAINING or id(row) not in left_out]
        for split, rows in task.splits.items()
    }
    return replace(task, splits={split: rows for split, rows in kept.items() if rows or split != "prompts"})


def _refuse_same(training: Sequence[Row], scored: Sequence[Row]) -> None:
    for row, twin in zip(training, twins(training, scored), strict=True):
        if twin is not None:
            same = f"is trained on and is also {_name(twin)}" if row.answer else f"has the prompt of {_name(twin)}"
            raise UserError(
                f"{_name(row)} {same}, which is scored; remove it from one of them, or set data.overlap: drop"
            )


def _name(row: Row) -> str:
    return f"{row.task} row '{row.id}'"
