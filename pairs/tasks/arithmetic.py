"""arithmetic: word problems with worked steps, in the image of GSM8K."""

import operator
import random
from collections.abc import Callable

from world import WORLD

from .rows import Family, Row

THINGS = ("apples", "books", "coins", "cards", "shells", "stamps", "pens", "eggs", "cups", "beads")
LARGEST = 50

Step = tuple[str, int]
"""An operation on the running total: its sign and its operand."""

_PHRASES = {
    "+": (
        "{p} buys {n} more.",
        "{p} finds {n} more.",
        "Then {p} gets {n} from {q}.",
        "{q} gives {n} to {p}.",
        "{n} more are added.",
    ),
    "-": (
        "{p} loses {n}.",
        "{p} gives {n} to {q}.",
        "Then {p} sells {n}.",
        "{q} takes {n} away.",
        "{n} of them break.",
    ),
    "*": (
        "Then the number grows {n} times.",
        "{p} trades them for {n} times as many.",
        "Soon there are {n} times as many.",
    ),
}
_STARTS = ("{p} has {n} {t}.", "There are {n} {t} in the box of {p}.", "{p} owns {n} {t}.", "{p} starts with {n} {t}.")
_QUESTIONS = ("How many {t} are there now?", "How many {t} does {p} have now?", "How many {t} are left for {p}?")
_APPLY: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def draw(rng: random.Random) -> Row:
    start, steps = _numbers(rng)
    worked, total = _work(start, steps)
    return Row(
        key=(start, *steps),
        prompt=_story(start, steps, rng),
        answer=f"{worked} The answer is {total}.",
        extra={"final": str(total)},
    )


def _numbers(rng: random.Random) -> tuple[int, tuple[Step, ...]]:
    """A start and two or three steps whose totals stay between 1 and LARGEST."""
    start = total = rng.randint(2, 20)
    steps: list[Step] = []
    for _ in range(rng.randint(2, 3)):
        signs = [s for s, fits in (("+", total <= LARGEST - 2), ("-", total >= 4), ("*", total <= 10)) if fits]
        sign = rng.choice(signs)
        limit = {"+": min(15, LARGEST - total), "-": min(15, total - 1), "*": min(5, LARGEST // total)}[sign]
        operand = rng.randint(2, limit)
        total = _APPLY[sign](total, operand)
        steps.append((sign, operand))
    return start, tuple(steps)


def _work(start: int, steps: tuple[Step, ...]) -> tuple[str, int]:
    lines, total = "", start
    for sign, operand in steps:
        after = _APPLY[sign](total, operand)
        lines += f" {total} {sign} {operand} = {after}."
        total = after
    return lines, total


def _story(start: int, steps: tuple[Step, ...], rng: random.Random) -> str:
    person, other = rng.sample(WORLD.people, 2)
    thing = rng.choice(THINGS)
    sentences = [rng.choice(_STARTS).format(p=person, n=start, t=thing)]
    sentences += [rng.choice(_PHRASES[sign]).format(p=person, q=other, n=operand) for sign, operand in steps]
    sentences.append(rng.choice(_QUESTIONS).format(t=thing, p=person))
    return "Question: " + " ".join(sentences) + "\nAnswer:"


ARITHMETIC = Family("arithmetic", "GSM8K", "exact_match", 60, ("\n",), draw)
