"""Runs as jobs: skip what is done, work through the rest in one process or several, keep what failed apart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..artifacts import read_json
from ..config import Run
from ..errors import UserError
from ..pipeline import run
from ..progress import Reporter
from ..run_folder import RunFolder
from .workers import run_all


@dataclass(frozen=True)
class Job:
    """One run of many, as plain values that another process can be sent."""

    name: str
    seed: int
    folder: Path
    config: Mapping[str, Any]
    base: Path | None
    """The run whose scores of the untouched models are borrowed, with another seed those on benchmarks; None: it is
    that run."""

    @property
    def title(self) -> str:
        return f"{self.name} seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What became of the runs of a folder."""

    folder: Path
    done: int
    skipped: int
    """Runs that were done before."""
    failed: dict[str, str]
    """Runs that failed, with the reason in one line."""


def unfinished(todo: Sequence[Job]) -> list[Job]:
    """What is left to run; a folder that holds another run is refused."""
    return [job for job in todo if not RunFolder.finished(job.folder, dict(job.config))]


def run_jobs(todo: Sequence[Job], folder: Path, *, n_job: int, reporter: Reporter) -> Outcome:
    """Run what is not done. With `n_job` above 1 runs share that many processes of one thread each; a run that borrows
    waits for the one it borrows from. A run that fails does not stop the others."""
    pending = unfinished(todo)
    reporter.say(f"{len(todo)} runs in {folder}, {len(todo) - len(pending)} of them done before")
    failed = {}
    for number, (job, reason) in enumerate(_run(pending, n_job), start=1):
        reporter.say(f"[{number}/{len(pending)}] {job.title}: {_told(job, reason)}")
        if reason:
            failed[job.title] = reason
    return Outcome(folder, len(pending) - len(failed), len(todo) - len(pending), failed)


def _run(pending: Sequence[Job], n_job: int) -> Iterator[tuple[Job, str]]:
    if n_job == 1:
        return ((job, run_job(job)) for job in pending)
    return run_all(pending, run_job, n_job, lambda job, still: not any(pending[i].folder == job.base for i in still))


def run_job(job: Job) -> str:
    """Run it; '' where all went well, else the reason in one line."""
    try:
        run(Run.make(job.config), job.folder, reporter=Reporter(quiet=True), borrow=job.base, pages=False)
    except UserError as error:
        return str(error)
    except Exception as error:  # one bad run must not end the others; its folder keeps the status
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    return ""


def _told(job: Job, reason: str) -> str:
    if reason:
        return f"failed ({reason})"
    costs = read_json(job.folder / "record.json")["costs"]
    return f"{sum(cost['seconds'] for cost in costs if 'borrowed' not in cost):.1f} s"
