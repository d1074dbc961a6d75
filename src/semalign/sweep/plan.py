"""What a sweep will run: every configuration checked before the first run starts, and the folder of each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Run
from ..data import Task, load_task
from ..errors import UserError
from ..prepare import check_models, load_model, pick_device
from .axes import Variant

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


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as plain values that another process can be sent."""

    name: str
    seed: int
    folder: Path
    config: Mapping[str, Any]
    base: Path | None
    """The run of the base with this seed, whose scores of the untouched models are borrowed; None: it is the base."""

    @property
    def title(self) -> str:
        return f"{self.name} seed {self.seed}"


def plan(config: Path, variants: Sequence[Variant], overrides: Sequence[str]) -> list[Planned]:
    """The base and then every variant, without controls; the first that is no valid run is a UserError naming it."""
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
    _check_models(planned)
    return planned


def jobs(planned: Sequence[Planned], seeds: Sequence[int], out: Path) -> list[Job]:
    """Every run once: the base's first, since the others borrow from them."""
    found: dict[Path, Job] = {}
    for each in planned:
        for seed in seeds:
            folder = out / each.folder / f"seed-{seed}"
            base = None if each.folder == BASE else out / BASE / f"seed-{seed}"
            config = each.config.model_copy(update={"seed": seed}).plain()
            found.setdefault(folder, Job(each.name, seed, folder, config, base))
    return list(found.values())


def _content(run: Run) -> str:
    """Equal where two runs differ in nothing but their controls."""
    return str(run.model_copy(update={"controls": {}}).plain())


def _budget(base: Run, run: Run) -> tuple[str, ...]:
    ours, theirs = run.plain(), base.plain()
    return tuple(f"{part}.{key}" for part in BUDGET for key in ours[part] if ours[part][key] != theirs[part].get(key))


def _check_models(planned: Sequence[Planned]) -> None:
    """Refuse what does not fit the models. Each pair of models is loaded once, and let go."""
    by_models: dict[str, list[Planned]] = {}
    for each in planned:
        by_models.setdefault(str([each.config.student, each.config.teacher, each.config.device]), []).append(each)
    loaded: dict[str, list[Task]] = {}
    for group in by_models.values():
        first = group[0].config
        device = pick_device(first.device)
        student, teacher = (load_model(first, part, device) for part in (first.student, first.teacher))
        for each in group:
            try:
                check_models(each.config, student, teacher, _tasks(each.config, loaded))
            except UserError as error:
                raise UserError(f"{_who(each)}: {error}") from None


def _tasks(config: Run, loaded: dict[str, list[Task]]) -> list[Task]:
    """The rows of a configuration, read once for all that have the same."""
    place = str(config.data)
    if place not in loaded:
        loaded[place] = [load_task(spec, seed=config.seed, root=config.root) for spec in config.tasks]
    return loaded[place]


def _who(each: Planned) -> str:
    return f"variant '{each.name}'" if each.variant else each.config.name
