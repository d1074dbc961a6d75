"""`semalign sweep`: run a base and its variants over seeds, go on where a sweep stopped, keep what failed apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..artifacts import read_json, write_json
from ..errors import UserError
from ..progress import Reporter
from .axes import Variant
from .jobs import Outcome, run_jobs, unfinished
from .plan import Planned, jobs, plan

MANIFEST = "sweep.json"


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
    planned, warnings = plan(Path(config), variants, overrides)
    base = planned[0].config
    folder = Path(out) if out else Path("runs") / f"{base.name}-sweep"
    todo = jobs(planned, range(base.seed, base.seed + seeds), folder)
    unfinished(todo)  # refuses a folder of another configuration before anything is written
    _write_manifest(folder, planned, sorted({job.seed for job in todo}))
    for warning in warnings:
        reporter.warn(warning)
    for each in planned:
        if each.budget:
            reporter.warn(f"{each.name}: another budget than the base's ({', '.join(each.budget)})")
    return run_jobs(todo, folder, n_job=n_job, reporter=reporter)


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
