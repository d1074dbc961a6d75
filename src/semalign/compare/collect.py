"""Finished runs, read from their folders, and refused where they were not measured on the same rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..artifacts import read_json
from ..errors import UserError
from .check import check_budget, check_same
from .measured import ADAPTED, Measured, read_run
from .names import name_runs

BASE = "base"
MANIFEST = "sweep.json"
COMPARISON = "comparison.json"  # what a comparison of methods leaves in its folder
TRAINED = ("control", "method")  # roles of students that were trained
ORDER = ("before", "control", "method", "teacher")  # roles, from where the student starts to where it should go


@dataclass(frozen=True, eq=False)
class Group:
    """A model under one name, over seeds."""

    name: str
    role: str
    runs: dict[int, Measured]
    axis: str = ""
    label: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    budget: tuple[str, ...] = ()

    @property
    def first(self) -> Measured:
        return next(iter(self.runs.values()))


@dataclass(frozen=True, eq=False)
class Collection:
    """All models to be compared, on the same tasks and rows."""

    groups: dict[str, Group]
    metrics: dict[str, str]
    """By task; `byte_probability` where a task has no score."""
    reference: str
    base: str
    """What differences are taken to: a comparison's recommended method, a sweep's base, else the first run's method."""
    config: Mapping[str, Any]
    """The comparison's own, else that of the base's first run."""
    failed: list[dict[str, str]]
    notes: list[str]
    recommended: str = ""
    """The base of a comparison of methods, where it has a finished run."""

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for group in self.groups.values() for seed in group.runs})


def collect(folders: Sequence[str | Path]) -> Collection:
    """The runs of run folders and sweep folders by name; a run that is not done is listed, not counted."""
    runs: list[Measured] = []
    swept: list[Measured] = []
    variants: dict[str, Mapping[str, Any]] = {}
    failed: list[dict[str, str]] = []
    for folder in map(Path, folders):
        if (folder / MANIFEST).exists():
            swept += _sweep(folder, variants, failed)
        elif (folder / "config.yaml").exists():
            runs += _finished(folder, failed)
        elif (folder / COMPARISON).exists():
            raise UserError(f"{folder}: holds a comparison; give its YAML file and --out, or its run folders")
        else:
            raise UserError(f"{folder}: holds no run and no sweep")
    measured = [*swept, *name_runs(runs)]
    if not measured:
        raise UserError(f"no finished run in {', '.join(map(str, folders))}{_why(failed)}")
    check_same(measured)
    notes: list[str] = []
    groups = _grouped(_with_reference(measured, notes), variants, notes)
    base = BASE if BASE in groups else next(iter(_methods(groups)), "")
    config = (groups[base].first if base else measured[0]).whole
    return _collection(groups, base, config, failed, notes)


def collect_methods(
    runs: Mapping[str, Mapping[int, Path]], recommended: str, config: Mapping[str, Any]
) -> tuple[Collection | None, list[dict[str, str]]]:
    """The runs of methods on one pair, by the name that each has in tables and by seed; and those that are not done.

    None where no run is done.
    """
    failed: list[dict[str, str]] = []
    measured = [
        model.called(name) if model.role == "method" else model
        for name, by_seed in runs.items()
        for folder in by_seed.values()
        for model in _finished(folder, failed)
    ]
    if not measured:
        return None, failed
    check_same(measured)
    notes: list[str] = []
    groups = _grouped(_with_reference(measured, notes), {}, notes)
    methods = _methods(groups)
    base = recommended if recommended in methods else methods[0]
    if base != recommended:
        notes.append(f"no finished run of {recommended}, the recommended method: differences are to {base}")
    ordered = {name: groups[name] for name in sorted(groups, key=lambda name: ORDER.index(groups[name].role))}
    found = _collection(ordered, base, config, failed, notes)
    return replace(found, recommended=recommended if recommended in methods else ""), failed


def _collection(
    groups: dict[str, Group], base: str, config: Mapping[str, Any], failed: list[dict[str, str]], notes: list[str]
) -> Collection:
    first = next(iter(groups.values())).first
    return Collection(
        groups=groups,
        metrics={task: score.measured for task, score in first.scores.items()},
        reference=first.reference,
        base=base,
        config=config,
        failed=failed,
        notes=[*notes, *check_budget([run for group in groups.values() for run in group.runs.values()])],
    )


def _methods(groups: Mapping[str, Group]) -> list[str]:
    return [name for name, group in groups.items() if group.role == "method"]


def _why(failed: Sequence[Mapping[str, str]]) -> str:
    return f" ({failed[0]['folder']}: {failed[0]['reason']})" if failed else ""


def _finished(folder: Path, failed: list[dict[str, str]]) -> list[Measured]:
    """The models of a run; none, and a line among the failed, where it is not done."""
    path = folder / "status.json"
    status = read_json(path) if path.exists() else {"status": "not started", "detail": ""}
    if status["status"] == "done":
        return read_run(folder)
    failed.append({"folder": str(folder), "reason": ": ".join(filter(None, (status["status"], status["detail"])))})
    return []


def _sweep(folder: Path, variants: dict[str, Mapping[str, Any]], failed: list[dict[str, str]]) -> Iterator[Measured]:
    """The base with its controls, and of each variant its method under the variant's name."""
    manifest = read_json(folder / MANIFEST)
    read: dict[Path, list[Measured]] = {}
    for variant in manifest["variants"]:
        name = variant["name"]
        if variants.setdefault(name, variant) != variant:
            raise UserError(f"{folder}: '{name}' is another variant in another sweep; compare them one by one")
        for seed in manifest["seeds"]:
            run = folder / variant["folder"] / f"seed-{seed}"
            if run not in read:
                read[run] = _finished(run, failed)
            for model in read[run]:
                if model.role == "method":
                    yield model.called(name)
                elif name == BASE or _untouched(model, variant):
                    yield model


def _untouched(model: Measured, variant: Mapping[str, Any]) -> bool:
    """What a variant's run may stand in for where the base's is missing: a teacher adapted on another budget is not."""
    return model.role != "control" and not (model.key == ADAPTED and variant["budget"])


def _with_reference(measured: Sequence[Measured], notes: list[str]) -> list[Measured]:
    """Without the seeds on which the teacher that gaps are measured to has no finished run."""
    known = {run.seed for run in measured if run.name == run.reference}
    for seed in sorted({run.seed for run in measured} - known):
        notes.append(f"seed {seed} is left out: no finished run of {measured[0].reference} with it")
    kept = [run for run in measured if run.seed in known]
    if not kept:
        raise UserError(f"{measured[0].folder}: no finished run measured {measured[0].reference}")
    return kept


def _grouped(
    measured: Sequence[Measured], variants: Mapping[str, Mapping[str, Any]], notes: list[str]
) -> dict[str, Group]:
    """One group a name; a model that several runs measured (the untouched ones) is taken once a seed."""
    runs: dict[str, dict[int, Measured]] = {}
    for model in measured:
        held = runs.setdefault(model.name, {}).setdefault(model.seed, model)
        if held.config != model.config:
            raise UserError(f"{model.folder}: '{model.name}' is not what it is in {held.folder}; compare them apart")
        if any(held.values[task].tolist() != values.tolist() for task, values in model.values.items()):
            notes.append(
                f"{model.name}, seed {model.seed}: {model.folder} and {held.folder} measured it with different "
                "outcomes; the latter counts"
            )
    return {name: _group(name, by_seed, variants.get(name, {})) for name, by_seed in runs.items()}


def _group(name: str, by_seed: dict[int, Measured], variant: Mapping[str, Any]) -> Group:
    return Group(
        name=name,
        role=next(iter(by_seed.values())).role,
        runs=dict(sorted(by_seed.items())),
        axis=variant.get("axis", ""),
        label=variant.get("label", name),
        overrides=variant.get("overrides", {}),
        budget=tuple(variant.get("budget", ())),
    )
