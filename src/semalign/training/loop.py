"""The training loop: a step module that returns the loss, exact accumulation, metrics by the line, resuming."""

import itertools
import math
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from .. import ranks, stopping
from ..data import Batch, Example
from ..tracking import Log
from . import checkpoint
from .engine import Engine, start_engine
from .metrics import Metrics
from .micro import dealt, micro_batches
from .mishaps import Mishaps
from .options import TrainingOptions
from .restart import Restart
from .suspect import suspect_batch
from .tally import Tally


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

    def measured(self, batch: Batch) -> Tensor: ...

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
    mishaps: list[str] = field(default_factory=list)
    """Batches that were left out and checkpoints that were damaged, in words."""

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
    n_step: int | None = None,
    advance: Callable[[int], None] = lambda _done: None,
    probe: Callable[[], dict[str, Any]] | None = None,
    tally: Tally | None = None,
    engine: Engine | None = None,
    log: Log | None = None,
) -> History:
    """Train the parameters of `step_module` that require a gradient; checkpoints and metrics.jsonl go to `folder`.

    A folder that holds a checkpoint is resumed from it, to the same bits. A run that is asked to stop ends its step,
    saves a checkpoint and raises KeyboardInterrupt. What `tally` counts goes into checkpoints. The order of rows
    depends on the seed and the epoch alone. `n_step` steps are taken, or as many as the options say for these rows.
    `probe` measures the student every `diagnose_every` steps, `log` gets the entry of each. Of several processes
    each runs a part of every step, and the first one writes; but for dropout, which each draws by itself, they train as
    one would.
    """
    assert isinstance(step_module, nn.Module)
    torch.manual_seed(seed + ranks.rank())
    parameters = {name: p for name, p in step_module.named_parameters() if p.requires_grad}
    engine = engine or start_engine(next(iter(parameters.values())).device)
    optimizer = torch.optim.AdamW(
        list(parameters.values()), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    plan = batch_plan(len(examples), options, seed, n_step)
    mishaps = Mishaps(folder, options)
    restart = Restart(folder, parameters, optimizer, seed=seed, mishaps=mishaps, tally=tally or Tally())
    step = restart.begin()
    metrics = Metrics(folder / "metrics.jsonl", step, log)
    wrapped, optimizer = engine.prepare(step_module, optimizer)
    wrapped.train()
    work = _Work(step_module, wrapped, optimizer, engine, parameters, options, pad_id, plan)
    with stopping.at_step_ends():
        while step < len(plan):
            began = time.perf_counter()
            work.enter(step)
            if mishaps.left_out(step):
                metrics.write({"step": step, "left_out": True})
                step += 1
                advance(step)
                continue
            random_numbers = checkpoint.random_state()
            rows = step_module.rewrite([examples[i] for i in plan[step]], step)
            entry, suspects = work.forward_backward(rows, step, metrics.entries)
            if reason := mishaps.reason(entry, metrics.trained):
                work.optimizer.zero_grad()
                batch = suspect_batch(step_module, rows, pad_id, entry)
                mishaps.handle(step, reason, suspects, batch, metrics.trained)
                step = restart.after_mishap(step, random_numbers)
                metrics.cut(step)
                work.stage = work.balanced = None
                continue
            work.optimizer.step()
            work.optimizer.zero_grad()
            entry["tokens_per_second"] = entry["tokens"] / (time.perf_counter() - began)
            if probe and step % options.diagnose_every == 0:
                entry["probe"] = probe()
            metrics.write(entry)
            step += 1
            stop = ranks.any_of(stopping.asked())
            if stop or (step % options.checkpoint_every == 0 and step < len(plan)):
                with engine.whole(optimizer):
                    restart.save(step)
            advance(step)
            if stop:
                raise KeyboardInterrupt
    engine.release(wrapped, list(parameters.values()))
    for parameter in parameters.values():  # a stage may have left some of them frozen
        parameter.requires_grad_(True)
    return _history(metrics.trained, parameters, mishaps)


def _history(entries: list[dict[str, Any]], parameters: dict[str, nn.Parameter], mishaps: Mishaps) -> History:
    return History(
        entries,
        n_step=len(entries),
        n_token=sum(entry["tokens"] for entry in entries),
        n_trainable=sum(p.numel() for p in parameters.values()),
        mishaps=mishaps.in_words(),
    )


def batch_plan(n_row: int, options: TrainingOptions, seed: int, n_step: int | None = None) -> list[list[int]]:
    """Row indices of every step: each epoch a new order, the last batch of an epoch as small as it comes.

    As many epochs as the options say, or as it takes for `n_step` steps.
    """
    plan: list[list[int]] = []
    n_step = options.n_step(n_row) if n_step is None else n_step
    assert n_row > 0 or n_step == 0, "there is nothing to take steps on"
    for epoch in itertools.count():
        if len(plan) >= n_step:
            break
        order = list(range(n_row))
        random.Random(f"{seed}/{epoch}").shuffle(order)
        plan += [order[i : i + options.batch_size] for i in range(0, n_row, options.batch_size)]
    return plan[:n_step]


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


@dataclass
class _Work:
    """What the steps of a training work with."""

    step_module: StepModule
    wrapped: nn.Module
    optimizer: Any
    """What the engine made of the optimiser."""
    engine: Engine
    parameters: dict[str, nn.Parameter]
    options: TrainingOptions
    pad_id: int
    plan: list[list[int]]
    stage: int | None = None
    """The stage that was entered last."""
    balanced: int | None = None
    """The stage that the weights of the terms were balanced for."""

    def enter(self, step: int) -> None:
        """Set the learning rate of a step, and begin its stage where that is another than the last step's."""
        stage, first, n_step = self._stage_of(step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * learning_rate_factor(step - first, n_step, self.options.warmup)
        if stage != self.stage:
            self.step_module.enter(stage)
            self.stage = stage

    def _stage_of(self, step: int) -> tuple[int, int, int]:
        """A step's stage, the first step of that, and how many it has."""
        starts = stage_starts(len(self.plan), self.step_module.n_stage)
        stage = bisect_right(starts, step) - 1
        return stage, starts[stage], [*starts, len(self.plan)][stage + 1] - starts[stage]

    def _balance(self, batch: Batch, step: int, before: Sequence[dict[str, Any]]) -> None:
        """The weights of the terms in this stage: those that its first step was given, or found on this one's batch."""
        stage, first, _ = self._stage_of(step)
        if stage == self.balanced:
            return
        known = [entry["weights"] for entry in before[first:] if "weights" in entry]
        found = known[-1] if known else self.step_module.balance(batch, self.step_module.units(batch))
        self.step_module.weights, self.balanced = ranks.from_first(found), stage

    def forward_backward(
        self, rows: Sequence[Example], step: int, before: Sequence[dict[str, Any]]
    ) -> tuple[dict[str, Any], list[str]]:
        """Forward and backward of a batch, in parts; every part is divided by the units of the whole batch.

        What was measured, and the rows to suspect should it turn out bad. `before` are the entries of earlier steps.
        """
        module = self.step_module
        micro = [batch.to(self.engine.device) for batch in micro_batches(rows, self.options, self.pad_id)]
        if module.balanced:
            self._balance(micro[-1], step, before)
        units: dict[str, int] = {}
        for batch in micro:
            for term, count in module.units(batch).items():
                units[term] = units.get(term, 0) + count
        diagnosed = step % self.options.diagnose_every == 0
        norms = module.gradient_norms(micro[-1], module.units(micro[-1])) if diagnosed else None
        totals: dict[str, float] = {}
        cosines: dict[str, float] = {}
        loss_value, n_position = 0.0, sum(int(module.measured(batch).sum()) for batch in micro)
        doubtful: list[str] = []
        own = dealt(micro)
        for place, (batch, weight) in enumerate(own):
            with self.engine.part(self.wrapped, last=place + 1 == len(own)):
                loss, terms, pair_cosines = self.wrapped(batch, units)
                self.engine.backward(self.wrapped, weight * loss)
            loss_value += weight * float(loss.detach())
            if not math.isfinite(float(loss.detach())):
                doubtful += batch.ids
            for term, total in terms.items():
                totals[term] = totals.get(term, 0.0) + weight * float(total) / max(units[term], 1)
            for pair, total in pair_cosines.items():
                cosines[pair] = cosines.get(pair, 0.0) + weight * float(total) / max(n_position, 1)
        loss_value = ranks.summed({"loss": loss_value}, self.engine.device)["loss"]
        totals, cosines = (ranks.summed(values, self.engine.device) for values in (totals, cosines))
        doubtful = [row for found in ranks.gathered(doubtful) for row in found]
        entry: dict[str, Any] = {"step": step, "loss": loss_value, "terms": totals, "cosine": cosines}
        entry["grad_norm"] = self.engine.clip(
            self.optimizer, list(self.parameters.values()), self.options.gradient_clip
        )
        if norms:
            entry["term_gradient_norms"] = norms
        entry["tokens"] = sum(batch.n_read for batch in micro)
        entry["supervised"] = sum(batch.n_supervised for batch in micro)
        entry["lr"] = self.optimizer.param_groups[0]["lr"]
        if module.n_stage > 1:
            entry["stage"] = self.stage
        if module.balanced:
            entry["weights"] = module.weights
        return entry, doubtful or [row for batch in micro for row in batch.ids]
