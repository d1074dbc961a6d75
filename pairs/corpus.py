"""The splits of the four tasks and the corpora that the two models are trained on, kept apart by content."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import yaml
from tasks import FAMILIES, Family, Key, Row
from tasks.facts import lettered
from world import WORLD

SIZES = {"test": 200, "validation": 200, "train": 600}
"""Rows of each split, drawn in this order: test first, so that a change elsewhere leaves it alone."""
SPLIT_SEED = 11

Splits = dict[str, dict[str, list[Row]]]
"""family name -> split -> rows"""

SHARES = {
    "broad": {"statement": 3, "lettered": 6, "arithmetic": 4, "functions": 3, "programs": 2},
    "narrow": {"statement": 2, "facts": 12, "arithmetic": 7, "functions": 1, "programs": 1},
}
"""Corpora, as parts of their documents of each kind: first everything, then most of what comes slowest."""


def make_splits(seed: int = SPLIT_SEED) -> Splits:
    """Draws every split of every family; no content occurs in two splits."""
    return {family.name: _splits_of(family, random.Random(f"{seed} {family.name}")) for family in FAMILIES}


def _splits_of(family: Family, rng: random.Random) -> dict[str, list[Row]]:
    taken: set[Key] = set()
    splits: dict[str, list[Row]] = {}
    for split, size in SIZES.items():
        splits[split] = _distinct(family, size, taken, rng)
        taken |= {row.key for row in splits[split]}
    return splits


def _distinct(family: Family, size: int, taken: set[Key], rng: random.Random) -> list[Row]:
    rows: dict[Key, Row] = {}
    while len(rows) < size:
        drawn = family.draw(rng)
        if drawn.key in taken or drawn.key in rows:
            continue
        row = family.finish(drawn, rng)
        if row is not None:
            rows[row.key] = row
    return list(rows.values())


def write_tasks(splits: Splits, folder: Path) -> None:
    """Writes `<folder>/<task>/<split>.jsonl` and `<folder>/tasks.yaml`."""
    for name, parts in splits.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for split, rows in parts.items():
            lines = [json.dumps(row.record(f"{name}-{split}-{i:03d}")) for i, row in enumerate(rows)]
            (folder / name / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    described = {family.name: family.description() for family in FAMILIES}
    (folder / "tasks.yaml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")


def documents(splits: Splits, seed: int, corpus: str = "broad") -> Iterator[tuple[str, str]]:
    """Endless (prompt, answer) documents, without the content of validation and test.

    Prompts of train are left out as well, but for the plain ones of `facts`: some of its facts have no others.
    """
    rng = random.Random(seed)
    families = {family.name: family for family in FAMILIES}
    held_out = {name: {r.key for r in parts["validation"] + parts["test"]} for name, parts in splits.items()}
    train = {(lettered(r) if name == "facts" else r).prompt for name, parts in splits.items() for r in parts["train"]}
    kinds, weights = list(SHARES[corpus]), list(SHARES[corpus].values())
    while True:
        kind = rng.choices(kinds, weights)[0]
        if kind == "statement":
            yield "", WORLD.statement(rng)
            continue
        name = "facts" if kind == "lettered" else kind
        row = families[name].draw(rng)
        row = lettered(row) if kind == "lettered" else row
        if row.key not in held_out[name] and row.prompt not in train:
            yield row.prompt, row.answer
