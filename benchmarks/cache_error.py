"""What a training loses by the teacher cache's precision: `python benchmarks/cache_error.py`, one JSON object.

The quickstart's method, pair and rows, one epoch, seed 0: with the teacher beside the student, with a teacher that
reads each row alone, and from the cache at each precision. Losses are compared step by step with those of the first;
the loss on gold answers is in nats a token, on validation rows.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from semalign.cache import Precision
from semalign.data import Example, batches, padding_token
from semalign.inspect.stages import context_of, tasks_of
from semalign.methods import LoopMethod, MethodContext, Plan
from semalign.methods.cache_options import CacheOptions
from semalign.methods.row_teacher import RowTeacher
from semalign.methods.step import Step
from semalign.methods.teacher import OnlineTeacher, SignalSource
from semalign.methods.teacher_cache import TeacherCache
from semalign.models import LanguageModel, unload
from semalign.quickstart import quickstart_config
from semalign.results import encode_rows
from semalign.training import TrainingOptions, train

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
Made = tuple[list[float], dict[str, Tensor], float]


def main() -> int:
    torch.set_num_threads(1)
    run = quickstart_config()
    method = run.method
    assert isinstance(method, LoopMethod)
    context = replace(context_of(run), lora=run.training.lora)
    rows = encode_rows(run, tasks_of(run), context.student, context.teacher)
    plan, examples, held = method.plan(context), rows.split("train"), rows.split("validation")[:200]
    options = run.training.model_copy(update={"epochs": 1})
    found: dict[str, Any] = {"steps": options.n_step(len(examples)), "rows": len(examples)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def made(of: str, source: Callable[[Step], SignalSource | None]) -> Made:
            return trained(method, context, plan, source, folder / of, rows=(examples, held), options=options)

        def cached(states: Precision) -> Callable[[Step], TeacherCache]:
            def source(step: Step) -> TeacherCache:
                cache = TeacherCache.of(step, CacheOptions(states=states), folder / "cache")
                cache.fill(examples)
                return cache

            return source

        online, alone = made("online", lambda step: step.signals), made("alone", row_by_row)
        found["online"] = {"gold_loss": online[2]}
        for states in PRECISIONS:
            losses, adapters, gold = made(states, cached(states))
            found[states] = {
                "largest_relative_difference": max(abs(a / b - 1) for a, b in zip(losses, online[0], strict=True)),
                "gold_loss": gold,
                "bits_of_row_teacher": losses == alone[0]
                and all(torch.equal(value, alone[1][name]) for name, value in adapters.items()),
            }
    print(json.dumps(found))
    return 0


def row_by_row(step: Step) -> RowTeacher:
    assert isinstance(step.signals, OnlineTeacher)
    return RowTeacher(step.signals)


def trained(
    method: LoopMethod,
    context: MethodContext,
    plan: Plan,
    source: Callable[[Step], SignalSource | None],
    folder: Path,
    *,
    rows: tuple[list[Example], list[Example]],
    options: TrainingOptions,
) -> Made:
    """The loss of every step, the adapters, and the loss on gold answers of held-out rows."""
    adapter = method.adapt(context, plan, options.lora)
    step = method.step(context, plan)
    step.signals = source(step)
    pad = padding_token(context.student.tokenizer)
    history = train(step, rows[0], options, pad_id=pad, seed=0, folder=folder)
    adapters = {name: p.detach().clone() for name, p in step.named_parameters() if p.requires_grad}
    gold = gold_loss(context.student, rows[1], pad)
    unload(adapter)
    return [entry["loss"] for entry in history.entries], adapters, gold


@torch.no_grad()
def gold_loss(student: LanguageModel, rows: list[Example], pad: int) -> float:
    total, n_token = 0.0, 0
    for batch in batches(rows, 20, pad):
        logits = student.module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        total += float(cross_entropy(logits[batch.mask], batch.targets[batch.mask], reduction="sum"))
        n_token += batch.n_supervised
    return total / n_token


if __name__ == "__main__":
    sys.exit(main())
