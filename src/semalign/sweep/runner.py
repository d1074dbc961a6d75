"""`semalign sweep`: run a base and its variants over seeds, go on where a sweep stopped, keep what failed apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..artifacts import read_json, write_json
from ..config import Run
from ..errors import UserError
from ..pipeline import run
from ..progress import Reporter
from ..run_folder import RunFolder
from .axes import Variant
from .plan import Job, Planned, jobs, plan
from .workers import run_all

MANIFEST = "sweep.json"


@dataclass(frozen=True)
class Outcome:
    """What became of a sweep."""

    folder: Path
    done: int
    skipped: int
    """Runs that were done before."""
    failed: dict[str, str]
    """Runs that failed, with the reason in one line."""


def sweep(
    config: str | Path,
    variants: Sequence[Variant],
    *,
    seeds: int = 1,
    n_job: int = 1,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Outcome:
    """Run the base with its controls, and each variant without, on the base's seed and those after it.

    Every configuration is checked before the first run starts. With `n_job` above 1 runs share that many processes of
    one thread each. A run that fails does not stop the others.
    """
    if not variants:
        raise UserError("nothing to vary: give --over KEY=V1,V2 or --axes FILE")
    reporter = reporter or Reporter(plain=True)
    planned = plan(Path(config), variants, overrides)
    base = planned[0].config
    folder = Path(out) if out else Path("runs") / f"{base.name}-sweep"
    todo = jobs(planned, range(base.seed, base.seed + seeds), folder)
    pending = [job for job in todo if not RunFolder.finished(job.folder, dict(job.config))]
    _write_manifest(folder, planned, sorted({job.seed for job in todo}))
    for each in planned:
        if each.budget:
            reporter.warn(f"{each.name}: another budget than the base's ({', '.join(each.budget)})")
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


def _write_manifest(folder: Path, planned: Sequence[Planned], seeds: list[int]) -> None:
    """sweep.json: what each folder of the sweep is. A later sweep into the same folder may add variants and seeds."""
    path = folder / MANIFEST
    new = {each.name: each.plain() for each in planned}
    content: dict[str, Any] = {"config": planned[0].config.plain(), "seeds": seeds, "variants": list(new.values())}
    if path.exists():
        held = read_json(path)
        if held["config"] != content["config"]:
            raise UserError(f"{folder}: already holds a sweep of another configuration; choose another --out")
        kept = {each["name"]: each for each in held["variants"]}
        content["seeds"] = sorted({*held["seeds"], *seeds})
        content["variants"] = list({**kept, **new}.values())
        if content == held:
            return
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is not empty and holds no sweep; choose another --out")
    write_json(path, content)
