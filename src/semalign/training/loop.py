"""The training loop: a step module that returns the loss, exact accumulation, metrics by the line, resuming."""

import json
import math
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..artifacts import disk_errors, write_text
from ..data import Batch, Example
from ..errors import UserError
from . import checkpoint
from .micro import micro_batches
from .options import TrainingOptions


@runtime_checkable
class StepModule(Protocol):
    """One forward of the student: loss, the total of each term, and the cosine of each pair."""

    balanced: bool
    weights: dict[str, float]

    @property
    def n_stage(self) -> int: ...

    def enter(self, stage: int) -> None: ...

    def rewrite(self, rows: Sequence[Example], step: int) -> Sequence[Example]: ...

    def balance(self, batch: Batch, units: dict[str, int]) -> dict[str, float]: ...

    def units(self, batch: Batch) -> dict[str, int]: ...

    def __call__(self, batch: Batch, units: dict[str, int]) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]: ...

    def gradient_norms(self, batch: Batch, units: dict[str, int]) -> dict[str, float]: ...


@dataclass(frozen=True)
class History:
    """What a training did: one entry a step, and its size."""

    entries: list[dict[str, Any]]
    n_step: int
    n_token: int
    """Tokens the student read, padding not counted."""
    n_trainable: int
    """Numbers that were trained."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def train(
    step_module: StepModule,
    examples: Sequence[Example],
    options: TrainingOptions,
    *,
    pad_id: int,
    seed: int,
    folder: Path,
    advance: Callable[[int], None] = lambda _done: None,
    probe: Callable[[], dict[str, Any]] | None = None,
    accelerator: Accelerator | None = None,
) -> History:
    """Train the parameters of `step_module` that require a gradient; checkpoints and metrics.jsonl go to `folder`.

    A folder that holds a checkpoint is resumed from it. The order of rows depends on the seed and the epoch alone.
    `probe` measures the student every `diagnose_every` steps.
    """
    assert isinstance(step_module, nn.Module)
    torch.manual_seed(seed)
    parameters = {name: p for name, p in step_module.named_parameters() if p.requires_grad}
    accelerator = accelerator or Accelerator(cpu=next(iter(parameters.values())).device.type == "cpu")
    optimizer = torch.optim.AdamW(
        list(parameters.values()), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    plan = batch_plan(len(examples), options, seed)
    stages = stage_starts(len(plan), step_module.n_stage)
    start = checkpoint.restore(folder, parameters, optimizer)
    metrics = _Metrics(folder / "metrics.jsonl", start)
    wrapped, optimizer = accelerator.prepare(step_module, optimizer)
    wrapped.train()
    for step in range(start, len(plan)):
        began = time.perf_counter()
        stage = bisect_right(stages, step) - 1
        first, n_stage_step = stages[stage], [*stages, len(plan)][stage + 1] - stages[stage]
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * learning_rate_factor(step - first, n_stage_step, options.warmup)
        rows = step_module.rewrite([examples[i] for i in plan[step]], step)
        micro = [batch.to(accelerator.device) for batch in micro_batches(rows, options, pad_id)]
        if step in (start, first):
            step_module.enter(stage)
            if step_module.balanced:
                known = metrics.entries[-1]["weights"] if step > first else None
                step_module.weights = known or step_module.balance(micro[-1], step_module.units(micro[-1]))
        entry = _one_step(
            wrapped, step_module, micro, options=options, step=step, accelerator=accelerator, parameters=parameters
        )
        optimizer.step()
        optimizer.zero_grad()
        n_token = sum(int(batch.attention_mask.sum()) for batch in micro)
        seconds = time.perf_counter() - began
        entry |= {"tokens": n_token, "supervised": sum(batch.n_supervised for batch in micro)}
        entry |= {"tokens_per_second": n_token / seconds, "lr": optimizer.param_groups[0]["lr"]}
        if len(stages) > 1:
            entry["stage"] = stage
        if step_module.balanced:
            entry["weights"] = step_module.weights
        if probe and step % options.diagnose_every == 0:
            entry["probe"] = probe()
        metrics.write(entry)
        if (step + 1) % options.checkpoint_every == 0 and step + 1 < len(plan):
            checkpoint.save(folder, step + 1, parameters, optimizer)
        advance(step + 1)
    wrapped.eval()
    for parameter in parameters.values():  # a stage may have left some of them frozen
        parameter.requires_grad_(True)
    entries = metrics.entries
    return History(
        entries,
        n_step=len(plan),
        n_token=sum(entry["tokens"] for entry in entries),
        n_trainable=sum(p.numel() for p in parameters.values()),
    )


def batch_plan(n_row: int, options: TrainingOptions, seed: int) -> list[list[int]]:
    """Row indices of every step: each epoch a new order, the last batch of an epoch as small as it comes."""
    plan = []
    for epoch in range(options.epochs):
        order = list(range(n_row))
        random.Random(f"{seed}/{epoch}").shuffle(order)
        plan += [order[i : i + options.batch_size] for i in range(0, n_row, options.batch_size)]
    return plan


def stage_starts(n_step: int, n_stage: int) -> list[int]:
    """First step of every stage: the steps are divided as evenly as can be."""
    assert n_step >= n_stage, "the method was checked against the number of steps"
    return [stage * n_step // n_stage for stage in range(n_stage)]


def learning_rate_factor(step: int, n_step: int, warmup: float) -> float:
    """Linear warm-up, then half a cosine down to 0 after the last step (of a stage); in (0, 1]."""
    n_warm = math.ceil(warmup * n_step)
    if step < n_warm:
        return (step + 1) / n_warm
    return 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(n_step - n_warm, 1)))


def _one_step(
    wrapped: nn.Module,
    step_module: StepModule,
    micro: list[Batch],
    *,
    options: TrainingOptions,
    step: int,
    accelerator: Accelerator,
    parameters: dict[str, nn.Parameter],
) -> dict[str, Any]:
    """Forward and backward of one batch, in parts; every part is divided by the units of the whole batch."""
    units: dict[str, int] = {}
    for batch in micro:
        for term, count in step_module.units(batch).items():
            units[term] = units.get(term, 0) + count
    norms = (
        step_module.gradient_norms(micro[-1], step_module.units(micro[-1]))
        if step % options.diagnose_every == 0
        else None
    )
    totals: dict[str, float] = {}
    cosines: dict[str, float] = {}
    loss_value, n_answer = 0.0, sum(int(batch.followed.sum()) for batch in micro)
    doubtful: list[Batch] = []
    for batch in micro:
        loss, terms, pair_cosines = wrapped(batch, units)
        accelerator.backward(loss)
        loss_value += float(loss.detach())
        if not math.isfinite(float(loss.detach())):
            doubtful.append(batch)
        for term, total in terms.items():
            totals[term] = totals.get(term, 0.0) + float(total) / max(units[term], 1)
        for pair, total in pair_cosines.items():
            cosines[pair] = cosines.get(pair, 0.0) + float(total) / max(n_answer, 1)
    norm = accelerator.clip_grad_norm_(list(parameters.values()), options.gradient_clip)
    grad_norm = float(cast(Tensor, norm))
    _refuse_nan(loss_value, grad_norm, totals, step, doubtful or micro)
    entry = {"step": step, "loss": loss_value, "terms": totals, "cosine": cosines, "grad_norm": grad_norm}
    return entry | {"term_gradient_norms": norms} if norms else entry


def _refuse_nan(loss: float, grad_norm: float, terms: dict[str, float], step: int, micro: list[Batch]) -> None:
    if math.isfinite(loss) and math.isfinite(grad_norm):
        return
    bad = [term for term, value in terms.items() if not math.isfinite(value)]
    what = f"loss term '{bad[0]}'" if bad else "gradient"
    rows = [row for batch in micro for row in batch.ids]
    raise UserError(
        f"training stopped at step {step}: the {what} is not a finite number (rows of the batch: {', '.join(rows[:4])}"
        f"{', ...' if len(rows) > 4 else ''}); lower the learning rate or look at these rows"
    )


class _Metrics:
    """metrics.jsonl: one line a step, cut back to the step training goes on from."""

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines()[:start] if path.exists() else []
        try:
            self.entries = [json.loads(line) for line in lines]
        except json.JSONDecodeError:
            self.entries = []
        if len(self.entries) < start:
            raise UserError(
                f"{path}: does not hold the {start} steps that are done; delete {path.parent} to train from the start"
            )
        write_text(path, "".join(line + "\n" for line in lines))

    def write(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
