"""Does training on the highest ranked layers beat training on the lowest ranked ones? Two trainings, one budget."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from .. import evaluation
from ..attribution import Attribution
from ..config import Run
from ..data import Batch, Task, padding_token
from ..errors import UserError
from ..methods import Given, Method, MethodContext, Plan
from ..models import LanguageModel, unload
from ..pairing.critical import Critical
from ..progress import Reporter
from ..results import Rows, encode_rows
from ..training.watch import trouble
from .stages import context_of, semalign_of, tasks_of

SHARE = 3  # a third of the student's layers a side: enough to train, and top and bottom stay apart


@dataclass(frozen=True, kw_only=True)
class _Known(Attribution):
    """Scores that were measured before."""

    name: ClassVar[str] = "known"
    scores: tuple[float, ...]

    def score(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "n_layer"]:
        return torch.tensor(self.scores, dtype=torch.float64)


def compare_ends(run: Run, scores: Sequence[float], reporter: Reporter) -> dict[str, Any]:
    """Bits per byte of validation answers after training only the student layers of the top, and of the bottom.

    The run's method, options and budget with the pairing `critical`; nothing of it is written. One training a side, so
    the intervals, paired over rows, do not hold the chance of another seed.
    """
    method, context, tasks = semalign_of(run), context_of(run), tasks_of(run)
    refuse(run, tasks)
    rows = encode_rows(run, tasks, context.student)
    if not rows.split("train"):
        raise UserError("--train: no rows in split 'train'; add a task that has some")
    count = max(1, context.student.n_layer // SHARE)
    work = _Work(run, context, tasks, rows, reporter)
    bits = {"untouched": work.bits("the untouched student")}
    sides: dict[str, Any] = {}
    for side, sign in (("top", 1.0), ("bottom", -1.0)):
        known = _Known(scores=tuple(sign * score for score in scores))
        chosen = method.replace(attribution=known, pairing=Critical(count=count), train="paired", answers="gold")
        plan = chosen.plan(context)
        bits[side], sides[side] = work.trained(side, chosen, plan)
    return {
        "layers": count,
        "epochs": run.training.epochs,
        "rows": len(rows.split("train")),
        "split": "validation",
        "sides": sides,
        "shared": sorted(set(sides["top"]["student"]) & set(sides["bottom"]["student"])),
        "bits_per_byte": {name: _intervals(scored, run.seed) for name, scored in bits.items()},
        "top_minus_bottom": _differences(bits["top"], bits["bottom"], run.seed),
    }


def refuse(run: Run, tasks: Sequence[Task]) -> None:
    """Raise UserError where there is nothing to train or to measure on: asked before anything is computed."""
    semalign_of(run)
    without = [task.name for task in tasks if not task.splits.get("validation")]
    if without:
        raise UserError(f"--train: task '{without[0]}' has no validation rows to measure on; give it some, or leave it")


@dataclass(frozen=True)
class _Work:
    run: Run
    context: MethodContext
    tasks: list[Task]
    rows: Rows
    reporter: Reporter

    def bits(self, what: str) -> dict[str, Any]:
        """Bits of the gold answers by row; no answer is generated."""
        tasks = [replace(task, score=None) for task in self.tasks]
        with self.reporter.stage(f"evaluating {what}"):
            return evaluation.evaluate(
                self.context.student,
                tasks,
                split="validation",
                template=self.run.data.template,
                batch_size=self.run.evaluation.batch_size,
            )

    def trained(self, side: str, method: Method, plan: Plan) -> tuple[dict[str, Any], dict[str, Any]]:
        """Train adapters on a plan's layers, measure, and take them off again."""
        options, examples = self.run.training, self.rows.split("train")
        adapter = method.adapt(self.context, plan, options.lora)
        try:
            with tempfile.TemporaryDirectory() as folder, self.reporter.stage(f"training the {side} layers") as advance:
                given = Given(
                    rows={"train": examples},
                    options=options,
                    pad_id=padding_token(self.context.student.tokenizer),
                    folder=Path(folder),
                    advance=lambda done: advance(done, options.n_step(len(examples))),
                )
                history = method.fit(self.context, plan, adapter, given)
            bits = self.bits(f"the student trained on the {side} layers")
        finally:
            unload(adapter)
        warnings = trouble(side, history.entries)
        for warning in warnings:
            self.reporter.warn(warning)
        about = {
            "student": list(plan.layers),
            "pairs": [pair.plain() for pair in plan.pairs],
            "steps": history.n_step,
            "trained_numbers": history.n_trainable,
            "warnings": warnings,
        }
        return bits, about


def _intervals(scores: dict[str, Any], seed: int) -> dict[str, Any]:
    """Of each task, and of the rows of all tasks together."""
    bits, n_bytes = _joined(scores, "row_bits"), _joined(scores, "row_bytes")
    parts = {
        task: evaluation.bits_interval(s.row_bits, s.row_bytes, seed=seed, task=task) for task, s in scores.items()
    }
    return {
        name: part._asdict()
        for name, part in {"all": evaluation.bits_interval(bits, n_bytes, seed=seed), **parts}.items()
    }


def _differences(top: dict[str, Any], bottom: dict[str, Any], seed: int) -> dict[str, Any]:
    n_bytes = _joined(top, "row_bytes")
    whole = evaluation.bits_difference(_joined(top, "row_bits"), _joined(bottom, "row_bits"), n_bytes, seed=seed)
    parts = {
        task: evaluation.bits_difference(s.row_bits, bottom[task].row_bits, s.row_bytes, seed=seed, task=task)
        for task, s in top.items()
    }
    return {name: part._asdict() for name, part in {"all": whole, **parts}.items()}


def _joined(scores: dict[str, Any], name: str) -> list[float]:
    return [value for score in scores.values() for value in getattr(score, name)]
