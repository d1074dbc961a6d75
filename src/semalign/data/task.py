"""A task with the rows of every split, loaded as its specification says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError, unknown
from .benchmarks import load_benchmark
from .hub import read_hub
from .jsonl import read_rows
from .prompts import apart_from_test, prompts_beside, prompts_of_file
from .rows import Row
from .sampling import carve, check_disjoint, sample
from .source import Loaded
from .spec import EMBEDDED, SPLITS, TaskSpec, is_embedded

NEEDS = {"multiple_choice": ("choices", "gold"), "exact_match": ("final",), "passes_tests": ("tests",)}
"""What a scorer needs of each row; exact match without `final` compares with the whole answer."""


@dataclass(frozen=True)
class Task:
    """A task ready to run.

    `splits` holds the rows used of all five splits (empty ones where a benchmark has no training rows), and `prompts`,
    rows with an empty answer, where the teacher shall answer some; `notes` what a reader of the report must know.
    """

    name: str
    score: str | None
    max_new_tokens: int
    stop: list[str]
    splits: dict[str, list[Row]]
    notes: tuple[str, ...] = ()


def load_task(spec: TaskSpec, *, seed: int, root: Path, drop: bool = False) -> Task:
    """The task of a specification; paths are relative to `root`. The same arguments always give the same rows.

    Rows are sampled as `semalign.data.sampling` states; splits that files or a hub data set lack are carved out of
    train. With `drop`, the prompts of a file that are a test row's are left out instead of refused.
    """
    loaded = _load(spec, root)
    sizes = spec.rows.model_dump()
    splits, notes = dict(loaded.splits), list(loaded.notes)
    if spec.benchmark is None:
        splits, carved = carve(splits, sizes, seed=seed, task=spec.name)
        notes += carved
    if "test" not in splits:
        raise UserError(f"task '{spec.name}': no test rows; give 'test', or rows.test to take that many out of train")
    check_disjoint(splits, spec.name)
    asked, left_out = _prompts(spec, splits, seed=seed, root=root, drop=drop)
    used = {split: [] for split in SPLITS} | {
        split: sample(splits[split], sizes[split], seed=seed, task=spec.name, split=split)
        for split in SPLITS
        if split in splits
    }
    score = spec.score or loaded.score
    if score == "likelihood":  # the answer's bits are measured of every task, so there is no scorer to name
        score = None
    return Task(
        name=spec.name,
        score=score,
        max_new_tokens=spec.max_new_tokens or loaded.max_new_tokens,
        stop=list(loaded.stop if spec.stop is None else spec.stop),
        splits={split: [_scorable(row, score, split) for row in rows] for split, rows in used.items()}
        | ({"prompts": asked} if asked else {}),
        notes=(*notes, *left_out),
    )


def _prompts(
    spec: TaskSpec, splits: Mapping[str, list[Row]], *, seed: int, root: Path, drop: bool
) -> tuple[list[Row], list[str]]:
    """The rows that the teacher answers, and a note on those that are left out."""
    count = spec.rows.prompts
    if spec.prompts is None and count is None:
        return [], []
    if spec.prompts is None:
        known = [*splits["test"], *splits.get("validation", ())]
        how: dict[str, Any] = {"n_train": spec.rows.train, "count": count, "seed": seed, "task": spec.name}
        return prompts_beside(splits.get("train", []), known, **how)
    how = {"task": spec.name, "fields": spec.fields.given(), "layout": spec.format}
    found = prompts_of_file(root / spec.prompts, **how)
    kept, notes = apart_from_test(found, splits["test"], drop=drop, task=spec.name)
    return sample(kept, count, seed=seed, task=spec.name, split="prompts") if kept else [], notes


def _load(spec: TaskSpec, root: Path) -> Loaded:
    if spec.benchmark is not None:
        return load_benchmark(spec.benchmark, None if spec.folder is None else root / spec.folder, spec.name)
    if spec.hub is not None:
        return Loaded(read_hub(spec.hub, task=spec.name, fields=spec.fields.given(), layout=spec.format))
    if is_embedded(spec.folder):
        return _embedded(spec)
    if spec.folder is not None:
        return Loaded(_folder(root / spec.folder, spec))
    paths = {split: root / path for split, path in spec.files().items()}
    return Loaded(_files(paths, spec))


def _files(paths: Mapping[Any, Path], spec: TaskSpec) -> dict[str, list[Row]]:
    how: dict[str, Any] = {"task": spec.name, "fields": spec.fields.given(), "layout": spec.format}
    return {split: read_rows(path, **how) for split, path in paths.items()}


def _folder(folder: Path, spec: TaskSpec) -> dict[str, list[Row]]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    paths = {}
    for split in SPLITS:
        found = [path for ending in ("jsonl", "json") if (path := folder / f"{split}.{ending}").exists()]
        if len(found) > 1:
            raise UserError(f"{folder}: {split}.jsonl and {split}.json; keep one of them")
        if found:
            paths[split] = found[0]
    if "train" not in paths:
        raise UserError(f"{folder}: no train.jsonl in it; expected one JSON-lines file a split")
    return _files(paths, spec)


def _embedded(spec: TaskSpec) -> Loaded:
    from ..embedded import tasks_folder

    assert spec.folder is not None
    folder, name = tasks_folder(), spec.folder.removeprefix(EMBEDDED)
    described = yaml.safe_load((folder / "tasks.yaml").read_text(encoding="utf-8"))
    if name not in described:
        raise unknown("embedded task", name, described, f"task '{spec.name}'")
    own = described[name]
    return Loaded(_folder(folder / name, spec), own["scorer"], own["max_new_tokens"], tuple(own["stop"]))


def _scorable(row: Row, score: str | None, split: str) -> Row:
    """The row with what its scorer needs; only test and validation rows are ever scored."""
    if score is None or split not in ("test", "validation"):
        return row
    if score == "exact_match" and "final" not in row.extra:
        return Row(row.id, row.task, row.prompt, row.answer, row.messages, {**row.extra, "final": row.answer.strip()})
    missing = [name for name in NEEDS[score] if name not in row.extra]
    if missing:
        raise UserError(f"task '{row.task}', {split} row '{row.id}': score '{score}' needs the field '{missing[0]}'")
    return row
