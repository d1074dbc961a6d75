"""`semalign compare FILE.yaml`: run what is missing of every pair, method and seed, and write the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..artifacts import read_json, write_json
from ..caching import not_cached
from ..config import Run
from ..errors import UserError
from ..progress import Reporter
from ..sweep.fit import check_runs
from ..sweep.jobs import Job, Outcome, run_jobs, unfinished
from .collect import COMPARISON, Collection, collect_methods
from .config import Comparison
from .overview import overview
from .result import result
from .write import refuse_other, write


@dataclass(frozen=True)
class Compared:
    """What became of a comparison."""

    outcome: Outcome
    found: dict[str, Any] | None
    """What OUT/compare.json holds: the pair's comparison, or the overview of several; None where no run is done."""


def compare_methods(
    config: str | Path,
    out: str | Path | None = None,
    *,
    title: str | None = None,
    n_job: int = 1,
    overrides: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Compared:
    """Run each (pair, method, seed) that is not done into OUT/pair/method/seed-S and compare all that are.

    Everything is checked before the first run starts. A run that fails does not stop the others and stays out of the
    tables. With several pairs each has a comparison of its own in OUT/pair, and OUT one over all of them.
    """
    comparison = Comparison.read(config, overrides)
    runs = comparison.runs(str(config))
    folder = Path(out) if out else Path("runs") / comparison.name
    refuse_other(folder, COMPARISON)
    _refuse_another(folder, comparison.plain())
    checked = [(f"method '{m}' on pair '{pair}'", run) for pair, named in runs.items() for m, run in named.items()]
    warnings = check_runs(checked)
    todo = [job for pair, named in runs.items() for job in _jobs(pair, named, comparison.seeds, folder)]
    unfinished(todo)  # refuses a folder of another configuration before anything is written
    write_json(folder / COMPARISON, comparison.plain())
    reporter = reporter or Reporter(plain=True)
    for warning in warnings:
        reporter.warn(warning)
    for name, method in comparison.uncached.items():
        reporter.say(not_cached(name, method))
    outcome = run_jobs(todo, folder, n_job=n_job, reporter=reporter)
    return Compared(outcome, _write(comparison, runs, folder, title or comparison.name))


def _refuse_another(folder: Path, plain: dict[str, Any]) -> None:
    """Methods, seeds and pairs may join a comparison; what it holds stays comparable, and no pair of it is dropped."""
    if not (folder / COMPARISON).exists():
        return
    held = read_json(folder / COMPARISON)
    parts = [part for part in ("data", "training", "evaluation", "device") if held.get(part) != plain.get(part)]
    pairs = [f"pairs.{pair}" for pair, models in held["pairs"].items() if plain["pairs"].get(pair) != models]
    if parts or pairs:
        raise UserError(
            f"{folder}: already holds another comparison ({[*parts, *pairs][0]} differs); choose another --out"
        )


def _jobs(pair: str, runs: dict[str, Run], seeds: Sequence[int], out: Path) -> list[Job]:
    """Seed by seed, so that what is done is a comparison; the first method's run measures the untouched models."""
    first = next(iter(runs))
    return [
        Job(
            name=f"{pair}/{name}",
            seed=seed,
            folder=_folder(out, pair, name, seed),
            config=run.model_copy(update={"seed": seed}).plain(),
            base=_base(run, name == first, _folder(out, pair, first, seed), _folder(out, pair, first, seeds[0])),
        )
        for seed in seeds
        for name, run in runs.items()
    ]


def _base(run: Run, is_first: bool, of_seed: Path, of_all: Path) -> Path | None:
    """Where a run borrows from: the first method's run with its seed; that one from the first seed, but only what no
    seed changes, the benchmarks."""
    if not is_first:
        return of_seed
    return of_all if run.benchmarks and of_seed != of_all else None


def _folder(out: Path, pair: str, method: str, seed: int) -> Path:
    return out / pair / method / f"seed-{seed}"


def _write(comparison: Comparison, runs: dict[str, dict[str, Run]], out: Path, title: str) -> dict[str, Any] | None:
    """The comparison of every pair that has a finished run, and of all of them where there are several."""
    plain = comparison.plain()
    found: dict[str, Collection] = {}
    unfinished_pairs: list[dict[str, str]] = []
    for pair, named in runs.items():
        folders = {m: {seed: _folder(out, pair, m, seed) for seed in comparison.seeds} for m in named}
        collection, failed = collect_methods(folders, comparison.recommended, plain)
        if collection is None:
            unfinished_pairs += failed
        else:
            found[pair] = collection
    if not found:
        return None
    if len(runs) == 1:
        return write(result(*found.values()), out, title)
    for pair, collection in found.items():
        write(result(collection), out / pair, f"{title}: {pair}")
    whole = overview(found, plain)
    whole.failed.extend(unfinished_pairs)
    return write(result(whole), out, title)
