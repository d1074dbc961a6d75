"""Has the machine what the run needs: memory, disk, and what the extras install."""

import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from ..evaluation.sandbox import Sandbox
from ..report.units import memory, seconds
from .finding import Finding
from .forecast import Forecast
from .subject import Subject
from .trial import Trial

CHECKPOINT = 4 * 3 * 3  # bytes a trained number: value and two moments; two are kept, and a third while it is written


def examine_extras(subject: Subject) -> Iterator[Finding]:
    if find_spec("matplotlib") is None:
        yield Finding(
            "warning", "no matplotlib: reports will have no pictures", "machine", "pip install 'semalign[report]'"
        )
    if any(task.score == "passes_tests" for task in subject.rows.tasks):
        reason = Sandbox.available()
        what_to_do = "install bubblewrap: pip install 'semalign[eval]'" if reason else ""
        yield Finding(
            "warning" if reason else "ok", reason or "generated code runs in a sandbox", "machine", what_to_do
        )


def examine_size(subject: Subject, forecasts: Sequence[Forecast], trials: Sequence[Trial]) -> Iterator[Finding]:
    """`forecasts` against what is free, of the GPU where the run uses one."""
    if forecasts:
        yield _memory(subject, max(forecasts, key=lambda forecast: forecast.peak_bytes))
        total = sum(forecast.seconds for forecast in forecasts)
        yield Finding("ok", f"about {seconds(total)} for the stages below, with the machine as busy as now", "machine")
    yield _disk(subject, trials)


def _memory(subject: Subject, largest: Forecast) -> Finding:
    free = _free_bytes(subject)
    said = f"'{largest.stage}' peaks at about {memory(largest.peak_bytes)}"
    if free is None:
        return Finding("note", f"{said}; what is free is not known on this system", "machine")
    fits = largest.peak_bytes <= free
    return Finding(
        "ok" if fits else "error",
        f"{said}, and this process can have {memory(free)}",
        "machine",
        "" if fits else "lower training.micro_batch_size, set 'teacher: {dtype: bfloat16}', or train from a 'cache'",
    )


def _free_bytes(subject: Subject) -> int | None:
    """What is free, with what this process holds already."""
    if subject.student.device.type == "cuda":
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    try:
        free = _kilobytes("/proc/meminfo", "MemAvailable:")
        return free + _kilobytes("/proc/self/status", "VmRSS:")
    except OSError:
        return None


def _kilobytes(path: str, name: str) -> int:
    line = next(line for line in Path(path).read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _disk(subject: Subject, trials: Sequence[Trial]) -> Finding:
    """Checkpoints of one training at a time, adapters, plans, and the merged student; a cache states its own size."""
    student = sum(p.numel() * p.element_size() for p in subject.student.module.parameters())
    adapters = sum(4 * trial.n_trainable for trial in trials)
    plans = sum(x.numel() * x.element_size() for trial in trials for x in _tensors(trial))
    needed = student + adapters + plans + CHECKPOINT * max((trial.n_trainable for trial in trials), default=0)
    free = shutil.disk_usage(Path.cwd()).free
    fits = needed <= free
    return Finding(
        "ok" if fits else "error",
        f"the run writes about {memory(needed)} (student, adapters, checkpoints, maps); {memory(free)} are free here",
        "machine",
        "" if fits else "free some disk, or give --out on another one",
    )


def _tensors(trial: Trial) -> Iterator[torch.Tensor]:
    yield from trial.plan.start.values()
    for semantic_map in {id(one): one for one in trial.plan.maps.values()}.values():
        yield from semantic_map.tensors().values()
