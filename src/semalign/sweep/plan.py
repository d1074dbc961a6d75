"""What a sweep will run: every configuration checked before the first run starts, and the folder of each run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Run
from ..errors import UserError
from .axes import Variant
from .fit import check_runs
from .jobs import Job

BASE = "base"
# What makes two runs cost the same and look at the same rows: the budget, beside the method.
BUDGET = ("data", "training")


@dataclass(frozen=True)
class Planned:
    """A variant (or the base) whose configuration is valid."""

    name: str
    variant: Variant | None
    config: Run
    folder: str
    """Under the sweep's folder; a variant that says nothing new shares that of the one it repeats."""
    budget: tuple[str, ...]
    """Parts of the budget in which it differs from the base."""

    def plain(self) -> dict[str, Any]:
        what = self.variant
        own = {"axis": what.axis, "label": what.label, "overrides": dict(what.overrides)} if what else {}
        return {"name": self.name, "folder": self.folder, **own, "budget": list(self.budget)}


def plan(config: Path, variants: Sequence[Variant], overrides: Sequence[str]) -> tuple[list[Planned], list[str]]:
    """The base and then every variant, without controls, and warnings on all of them.

    The first that is no valid run is a UserError naming it.
    """
    base = Run.read(config, overrides)
    planned = [Planned(BASE, None, base, BASE, ())]
    same = {_content(base): BASE}
    for variant in variants:
        try:
            run = Run.read(config, [*overrides, *variant.settings, "controls={}"])
        except UserError as error:
            raise UserError(f"variant '{variant.name}': {error}") from None
        if run.seed != base.seed:
            raise UserError(f"variant '{variant.name}': vary the seed with --seeds")
        folder = same.setdefault(_content(run), variant.folder)
        planned.append(Planned(variant.name, variant, run, folder, _budget(base, run)))
    named = [(f"variant '{each.name}'" if each.variant else base.name, each.config) for each in planned]
    return planned, check_runs(named)


def jobs(planned: Sequence[Planned], seeds: Sequence[int], out: Path) -> list[Job]:
    """Every run once: the base's first, since the others borrow from them."""
    found: dict[Path, Job] = {}
    for each in planned:
        for seed in seeds:
            folder = out / each.folder / f"seed-{seed}"
            base = None if each.folder == BASE else out / BASE / f"seed-{seed}"
            if base is None and each.config.benchmarks and seed != seeds[0]:
                base = out / BASE / f"seed-{seeds[0]}"
            config = each.config.model_copy(update={"seed": seed}).plain()
            found.setdefault(folder, Job(each.name, seed, folder, config, base))
    return list(found.values())


def _content(run: Run) -> str:
    """Equal where two runs differ in nothing but their controls."""
    return str(run.model_copy(update={"controls": {}}).plain())


def _budget(base: Run, run: Run) -> tuple[str, ...]:
    ours, theirs = run.plain(), base.plain()
    return tuple(f"{part}.{key}" for part in BUDGET for key in ours[part] if ours[part][key] != theirs[part].get(key))
