"""Which student layers take part where a pairing is asked for fewer than all."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ..errors import UserError
from .base import Pair

Count = Annotated[int, Field(ge=1)] | None
"""How many student layers take part; None: all of them."""


def check_count(count: Count, limit: int, name: str, there_are: str) -> int:
    """The count, or the limit where it is None; raises UserError above the limit."""
    if count is not None and count > limit:
        raise UserError(f"pairing '{name}': count is {count}, but {there_are}")
    return limit if count is None else count


def evenly(count: Count, n_student: int, name: str) -> list[int]:
    """Student layers at equal distances, the last one among them: the i-th of n is ceil(i L_S / n), counted from 1."""
    n = check_count(count, n_student, name, f"the student has {n_student} layers")
    return [-(-i * n_student // n) - 1 for i in range(1, n + 1)]


def highest(count: Count, pairs: list[Pair], ranks: Sequence[float], name: str) -> list[Pair]:
    """The pairs of highest rank, in the order of student layers; of equal ranks the shallower student layer."""
    n = check_count(count, len(pairs), name, f"the student has {len(pairs)} layers")
    order = sorted(range(len(pairs)), key=lambda i: (-ranks[i], i))
    return [pairs[i] for i in sorted(order[:n])]
