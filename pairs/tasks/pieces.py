"""What `functions` and `programs` are put together from: conditions and changes of one item, with their wordings."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .rows import Row


@dataclass(frozen=True)
class Piece:
    """A Python expression over one item and the ways to say it; `{k}` is a constant drawn from `constants`."""

    code: str
    wordings: tuple[str, ...]
    constants: tuple[str, ...] = ("",)

    def draw(self, rng: random.Random) -> tuple[str, str]:
        """(code, wording) with one constant filled in."""
        constant = rng.choice(self.constants)
        return self.code.replace("{k}", constant), rng.choice(self.wordings).replace("{k}", constant)


@dataclass(frozen=True)
class Domain:
    """A kind of items: their name in code, what may be asked of them, and how arguments for tests are drawn."""

    item: str
    items: str
    conditions: tuple[Piece, ...]
    changes: tuple[Piece, ...]
    arguments: Callable[[random.Random], list[Any]]


def _numbers(rng: random.Random) -> list[int]:
    return [rng.randint(-6, 35) for _ in range(rng.randint(6, 9))]


def _words(rng: random.Random) -> list[str]:
    """Made-up words: each letter that a condition may name starts some and ends some."""
    return [_word(rng) for _ in range(rng.randint(6, 9))]


def _word(rng: random.Random) -> str:
    middle = "".join(rng.choice(_LETTERS) for _ in range(rng.randint(0, 6)))
    return rng.choice(_LETTERS) + middle + rng.choice(_LETTERS)


_SMALL = tuple(str(k) for k in range(2, 10))
_TENS = tuple(str(k) for k in range(2, 31))
_LETTERS = tuple("abcdelmnoprst")

NUMBERS = Domain(
    item="x",
    items="numbers",
    conditions=(
        Piece("x > {k}", ("greater than {k}", "above {k}", "larger than {k}", "over {k}"), _TENS),
        Piece("x < {k}", ("less than {k}", "below {k}", "smaller than {k}", "under {k}"), _TENS),
        Piece("x != {k}", ("not equal to {k}", "different from {k}", "other than {k}"), _TENS),
        Piece("x >= {k}", ("that are at least {k}", "not below {k}", "from {k} up"), _TENS),
        Piece("x <= {k}", ("that are at most {k}", "not above {k}", "up to {k}"), _TENS),
        Piece("x % {k} == 0", ("divisible by {k}", "that are a multiple of {k}"), _SMALL),
        Piece("x % 2 == 0", ("that are even",)),
        Piece("x % 2 == 1", ("that are odd",)),
        Piece("x > 0", ("that are positive",)),
        Piece("x < 0", ("that are negative",)),
    ),
    changes=(
        Piece("x * {k}", ("multiplied by {k}", "times {k}"), _SMALL),
        Piece("x + {k}", ("plus {k}", "increased by {k}"), _TENS),
        Piece("x - {k}", ("minus {k}", "reduced by {k}"), _TENS),
        Piece("x % {k}", ("modulo {k}", "reduced to the remainder by {k}"), _SMALL),
        Piece("x // {k}", ("divided by {k}", "split by {k}"), _SMALL),
        Piece("x * x", ("squared", "times itself")),
        Piece("-x", ("negated", "with the sign changed")),
        Piece("abs(x)", ("without the sign", "as absolute value")),
    ),
    arguments=_numbers,
)

WORDS = Domain(
    item="w",
    items="words",
    conditions=(
        Piece("w.startswith('{k}')", ("starting with {k}", "that begin with {k}"), _LETTERS),
        Piece("w.endswith('{k}')", ("ending in {k}", "that stop with {k}"), _LETTERS),
        Piece("'{k}' in w", ("containing {k}", "with the letter {k}"), _LETTERS),
        Piece("'{k}' not in w", ("without {k}", "that lack the letter {k}"), _LETTERS),
        Piece("len(w) > {k}", ("longer than {k}", "of more than {k} letters"), _SMALL[:5]),
        Piece("len(w) < {k}", ("shorter than {k}", "of fewer than {k} letters"), _SMALL[1:6]),
    ),
    changes=(
        Piece("w.upper()", ("in capitals", "in upper case")),
        Piece("w[::-1]", ("reversed", "spelt backwards")),
        Piece("w[0]", ("cut to the first letter", "as initials")),
        Piece("w[-1]", ("cut to the last letter", "as final letters")),
        Piece("w[:{k}]", ("cut to {k} letters", "as the first {k} letters"), _SMALL[:4]),
        Piece("w + '{k}'", ("followed by {k}", "with {k} at the end"), _LETTERS),
        Piece("'{k}' + w", ("preceded by {k}", "with {k} in front"), _LETTERS),
        Piece("w * {k}", ("repeated {k} times",), _SMALL[:3]),
    ),
    arguments=_words,
)


def draw_domain(rng: random.Random) -> Domain:
    """Numbers a little more often than words."""
    return NUMBERS if rng.random() < 0.6 else WORDS


def with_tests(row: Row, program: str, rng: random.Random) -> Row | None:
    """The row with three asserts from its own gold program; None where that returns the same whatever it is given."""
    name = row.extra["entry_point"]
    domain = NUMBERS if f"{name}({NUMBERS.items})" in row.prompt else WORDS
    space: dict[str, Any] = {}
    exec(program, space)  # gold code that this package generated itself
    for _ in range(100):
        calls = [domain.arguments(rng) for _ in range(3)]
        results = _results(space[name], calls)
        if len(set(map(repr, results))) > 1:
            asserts = [f"assert {name}({call!r}) == {result!r}" for call, result in zip(calls, results, strict=True)]
            return replace(row, extra={**row.extra, "tests": "\n".join(asserts)})
    return None


def _results(function: Callable[[list[Any]], Any], calls: list[list[Any]]) -> list[Any]:
    """What the function returns for each call, or nothing where one has no answer (the largest of no numbers)."""
    try:
        return [function(list(call)) for call in calls]
    except (ValueError, IndexError):
        return []
