"""Which rows a run uses: a seeded sample of each split, missing splits carved out of train, train apart from test.

The sample of n rows is the first n of a permutation seeded by `{seed}/{task}/{split}`, in file order: it does not
depend on other splits, and a smaller sample is part of a larger one.
"""

import random
from collections.abc import Mapping, Sequence

from ..errors import UserError
from .rows import Row

CARVED = ("test", "validation", "extract", "align")
"""Order in which missing splits are carved; test only where its number of rows is asked for."""
SHARES = {"validation": (0.1, 200), "extract": (0.02, 20), "align": (0.08, 80)}
"""Default size of a carved split: a share of train, at most so many rows (20 and 80 are the LaTen protocol's)."""


def permuted(rows: Sequence[Row], *, seed: int, task: str, split: str) -> list[int]:
    order = list(range(len(rows)))
    random.Random(f"{seed}/{task}/{split}").shuffle(order)
    return order


def sample(rows: Sequence[Row], count: int | None, *, seed: int, task: str, split: str) -> list[Row]:
    """`count` rows of a split, or all; asking for more than there are is an error."""
    if not rows:
        raise UserError(f"task '{task}': split '{split}' has no rows")
    if count is None:
        return list(rows)
    if count > len(rows):
        raise UserError(f"task '{task}': rows.{split} asks for {count}, there are {len(rows)}")
    return [rows[i] for i in sorted(permuted(rows, seed=seed, task=task, split=split)[:count])]


def carve(
    splits: Mapping[str, list[Row]], sizes: Mapping[str, int | None], *, seed: int, task: str
) -> tuple[dict[str, list[Row]], list[str]]:
    """The splits with the missing ones taken out of train, disjoint from it and from each other, and one note on each.

    Rows are taken from a permutation of train seeded by `{seed}/{task}/carve`: test first (only where `sizes` asks for
    it), then validation (default 10 %, at most 200), extract (2 %, at most 20), align (8 %, at most 80); each at least
    one row.
    """
    train = splits["train"]
    missing = [split for split in CARVED if split not in splits and (split != "test" or sizes.get("test"))]
    wanted = {split: sizes.get(split) or _default_size(split, len(train)) for split in missing}
    if sum(wanted.values()) >= len(train):
        parts = ", ".join(f"{split} {count}" for split, count in wanted.items())
        raise UserError(
            f"task '{task}': train has {len(train)} rows, too few to take out {parts}; give these splits as files"
        )
    order, taken, result, notes = permuted(train, seed=seed, task=task, split="carve"), 0, dict(splits), []
    for split, count in wanted.items():
        result[split] = [train[i] for i in sorted(order[taken : taken + count])]
        taken += count
        notes.append(f"{task}: {split} = {count} of the {len(train)} train rows, taken out of training (seed {seed})")
    result["train"] = [train[i] for i in sorted(order[taken:])]
    return result, notes


def _default_size(split: str, available: int) -> int:
    share, most = SHARES[split]
    return max(1, min(most, int(share * available)))


def content(row: Row) -> tuple[str, str]:
    """What makes two rows the same: prompt and answer, white space folded."""
    return folded(row.prompt), folded(row.answer)


def twins(rows: Sequence[Row], known: Sequence[Row]) -> list[Row | None]:
    """Of each row the known one that is the same; a row without an answer is the same as any with its prompt."""
    by_content = {content(row): row for row in known}
    by_prompt = {prompt: row for row in known for prompt in (folded(row.prompt), _asked(row))}
    return [
        by_content.get(content(row)) if row.answer else by_prompt.get(folded(row.prompt)) or by_prompt.get(_asked(row))
        for row in rows
    ]


def _asked(row: Row) -> str:
    """What a single user turn says, whatever stands around it in a plain prompt; of other rows the prompt."""
    is_one = row.messages is not None and len(row.messages) == 1 and row.messages[0]["role"] == "user"
    return folded(row.messages[0]["content"] if row.messages and is_one else row.prompt)


def folded(text: str) -> str:
    return " ".join(text.split())


def check_disjoint(splits: Mapping[str, Sequence[Row]], task: str) -> None:
    """Raises where a row of another split is, by content, also a test row."""
    tested = splits.get("test", ())
    for split, rows in splits.items():
        if split == "test":
            continue
        for row, twin in zip(rows, twins(rows, tested), strict=True):
            if twin is not None:
                raise UserError(
                    f"task '{task}': {split} row '{row.id}' is also test row '{twin.id}'; remove it from one of them"
                )
