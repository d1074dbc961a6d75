"""The splits of the LaTen protocol by row id.

The ids are the places of the protocol's rows in the benchmarks' original files: a line of GSM8K's train.jsonl from 0,
an MBPP task_id, an MMLU subject with its row. SEEKING's samples, which overlap with them, are listed to be kept out of
validation.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ...artifacts import read_json
from ...errors import UserError
from ..rows import Row
from ..sampling import folded


@cache
def _ids() -> dict[str, dict[str, list[Any]]]:
    return read_json(Path(__file__).with_name("split_ids.json"))


def laten_splits(
    benchmark: str, pool: Mapping[Any, Row], validation: Sequence[Any] | None = None
) -> dict[str, list[Row]]:
    """The extract, align and train rows of a pool by id; as validation the given ids, else all that no list names."""
    lists = _ids()[benchmark]
    chosen = {split: lists[f"laten_{split}"] for split in ("extract", "align", "train")}
    if validation is None:
        listed = {row for ids in lists.values() for row in ids}
        validation = sorted(row for row in pool if row not in listed)
    return {split: [pool[row] for row in ids] for split, ids in {**chosen, "validation": validation}.items()}


def without_twins(test: Sequence[Row], pool: Mapping[Any, Row]) -> tuple[list[Row], list[str]]:
    """The test rows whose prompt is not also in the training pool, and a note on those left out."""
    seen = {folded(row.prompt) for row in pool.values()}
    kept = [row for row in test if folded(row.prompt) not in seen]
    left_out = len(test) - len(kept)
    if not left_out:
        return kept, []
    return kept, [f"{test[0].task}: {left_out} of {len(test)} test rows also stand in the training pool, left out"]


def expect(found: int, expected: int, where: object) -> None:
    """Raises where a file is not the benchmark's: row ids are places in the original file."""
    if found != expected:
        raise UserError(f"{where}: {found} rows, the benchmark has {expected}; take the original file")
