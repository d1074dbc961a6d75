"""A method tried without training: its plan made, its adapters put on, a few micro-batches run, all taken off again."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from ..costs import Cost, Ledger
from ..data import Batch
from ..errors import UserError
from ..methods import LoopMethod, Method, MethodContext, Plan
from ..methods.step import Step
from ..models import unload
from ..progress import Advance, silent
from ..training import TrainingOptions

TRIED = 4  # micro-batches, from the smallest to the largest: a step's time is their sum over their positions
ENOUGH = 5.0  # seconds of passes after which no more are timed: they are long enough that one tells


@dataclass(frozen=True, eq=False)
class Trial:
    """What one method asks of the machine and of its adapters, measured."""

    name: str
    plan: Plan
    planned: Cost
    norms: dict[str, float] = field(default_factory=dict)
    """Norm of each weighted loss term's own gradient, all adapters pooled, on one micro-batch."""
    refused: str = ""
    """Why there are no norms."""
    n_trainable: int = 0
    seconds_a_position: float = 0.0
    """Of forward and backward, padding counted."""
    norm_seconds: float = 0.0
    """Of measuring the norms once, which training does now and then."""
    peak_bytes: int = 0
    """Of the largest micro-batch, gradients included, before there are moments of the optimiser."""


def tried(
    name: str,
    method: Method,
    context: MethodContext,
    micro: Sequence[Batch],
    options: TrainingOptions,
    *,
    advance: Advance = silent,
) -> Trial:
    """Nothing is trained, the student is bit-identical afterwards, and no random number of the caller's is used up.

    `advance` hears of the plan and of each pass.
    """
    ledger = Ledger()
    with torch.random.fork_rng():
        torch.manual_seed(context.seed)
        with ledger.stage("plan") as planned:
            plan = method.plan(context)
        trial = Trial(name, plan, planned)
        if not isinstance(method, LoopMethod):
            return replace(trial, refused=f"'{method.name}' trains in a way of its own")
        adapter = method.adapt(context, plan, options.lora)
        try:
            some = [b.to(context.student.device) for b in _some(micro)]
            return _stepped(trial, method.step(context, plan), some, advance)
        finally:
            unload(adapter)
            context.student.module.eval()


def _stepped(trial: Trial, step: Step, micro: Sequence[Batch], advance: Advance) -> Trial:
    n_pass = len(micro) + 3  # the plan, a first pass and that of the norms
    advance(1, n_pass)
    parameters = [p for p in step.parameters() if p.requires_grad]
    step.train()
    step.enter(0)
    units = step.units(micro[0])
    with Ledger().stage("step") as largest:  # not timed: the first one of a process is slow
        _pass(step, micro[-1])
    advance(2, n_pass)
    started = time.perf_counter()
    try:
        if step.balanced:
            step.weights = step.balance(micro[0], units)
        norms, refused = step.gradient_norms(micro[0], units), ""
    except UserError as error:
        norms, refused = {}, str(error)
    advance(3, n_pass)
    norm_seconds, started = time.perf_counter() - started, time.perf_counter()
    n_position, step_seconds = 0, 0.0
    for done, batch in enumerate(micro, start=4):
        _pass(step, batch)
        advance(done, n_pass)
        n_position, step_seconds = n_position + batch.input_ids.numel(), time.perf_counter() - started
        if step_seconds > ENOUGH:
            break
    for parameter in parameters:
        parameter.grad = None
    return replace(
        trial,
        norms=norms,
        refused=refused,
        n_trainable=sum(p.numel() for p in parameters),
        seconds_a_position=step_seconds / n_position,
        norm_seconds=norm_seconds,
        peak_bytes=largest.peak_bytes,
    )


def _pass(step: Step, batch: Batch) -> None:
    loss = step(batch, step.units(batch))[0]
    loss.backward()
    float(loss.detach())  # waits for a GPU


def _some(micro: Sequence[Batch]) -> list[Batch]:
    ordered = sorted(micro, key=lambda batch: batch.input_ids.numel())
    places = [round(i * (len(ordered) - 1) / (TRIED - 1)) for i in range(TRIED)]
    return [ordered[place] for place in dict.fromkeys(places)]
