"""What each stage of the run will take: seconds and peak memory, scaled from small measurements of the same work."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..costs import Ledger
from ..data import Batch, Task
from ..diagnostics import Probe
from ..evaluation import evaluate
from ..models import LanguageModel
from ..pipeline import PROBED
from ..progress import Advance, silent
from .subject import Subject
from .trial import Trial

FEW, MORE = 4, 16  # rows of a task that are scored to see what one row and one pass of rows take
MOMENTS = 8  # bytes a trained number: two of AdamW's in float32


@dataclass(frozen=True)
class Forecast:
    """One stage of a run."""

    stage: str
    seconds: float
    peak_bytes: int

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def forecast_evaluation(subject: Subject, name: str, model: LanguageModel, advance: Advance = silent) -> Forecast:
    """Scoring every task: a pass over few and over more rows gives what a pass and a row take; scores are not kept."""
    seconds, peak, options = 0.0, 0, subject.config.evaluation
    for done, task in enumerate(subject.rows.tasks, start=1):
        n_row = len(task.splits[options.split])
        few, more = (min(n, n_row, options.batch_size) for n in (FEW, MORE))
        _scored(subject, model, task, 1)  # the first pass of a task is slow
        (short, _), (long, most) = (_scored(subject, model, task, n) for n in (few, more))
        row = max(long - short, 0) / (more - few) if more > few else long / more
        a_pass = max(long - more * row, 0)
        seconds += -(-n_row // options.batch_size) * a_pass + n_row * row
        peak = max(peak, most)
        advance(done, len(subject.rows.tasks))
    return Forecast(f"evaluate {name}", seconds, peak)


def forecast_again(subject: Subject, stage: str, before: Forecast, model: LanguageModel) -> Forecast:
    """Scoring in a process that has trained: as fast, but more of what is freed is kept, so the peak is measured."""
    n_row = min(MORE, subject.config.evaluation.batch_size)
    peaks = [_scored(subject, model, task, n_row)[1] for task in subject.rows.tasks]
    return replace(before, stage=stage, peak_bytes=max(before.peak_bytes, *peaks))


def forecast_probe(subject: Subject, name: str) -> tuple[Forecast, float]:
    """Probing a student once, measured whole, and the seconds of the shorter probe that training takes now and then."""
    context, ledger = subject.context, Ledger()
    probe = Probe(context.teacher, context.extract, context.tokens, limit=PROBED)
    with ledger.stage("diagnose") as whole:
        probe(context.student, cka=True)
    with ledger.stage("probe") as short:
        probe(context.student)
    return Forecast(f"diagnose {name}", whole.seconds, whole.peak_bytes), short.seconds


def forecast_method(
    subject: Subject, trial: Trial, micro: Sequence[Batch], *, n_prompt: int = 0, probe_seconds: float = 0.0
) -> list[Forecast]:
    """Its planning, which was measured whole, and its training where it is a loss that the loop trains.

    `n_prompt` answers of the teacher, taken to be as long as gold ones, make for more steps.
    """
    planned = Forecast(f"prepare {trial.name}", trial.planned.seconds, trial.planned.peak_bytes)
    if not trial.seconds_a_position:
        return [planned]
    options = subject.config.training
    n_gold = len(subject.rows.split("train"))
    n_step = options.n_step(n_gold + n_prompt)
    n_position = options.epochs * sum(batch.input_ids.numel() for batch in micro) * n_step / options.n_step(n_gold)
    n_diagnosed = -(-n_step // options.diagnose_every)
    seconds = n_position * trial.seconds_a_position + n_diagnosed * (trial.norm_seconds + probe_seconds)
    return [planned, Forecast(f"train {trial.name}", seconds, trial.peak_bytes + MOMENTS * trial.n_trainable)]


def _scored(subject: Subject, model: LanguageModel, task: Task, n_row: int) -> tuple[float, int]:
    """Seconds and peak bytes."""
    config, ledger = subject.config, Ledger()
    part = replace(task, splits={**task.splits, config.evaluation.split: task.splits[config.evaluation.split][:n_row]})
    with ledger.stage("score") as cost:
        evaluate(
            model,
            [part],
            split=config.evaluation.split,
            template=config.data.template,
            batch_size=config.evaluation.batch_size,
            skip_unavailable=True,
        )
    return cost.seconds, cost.peak_bytes
