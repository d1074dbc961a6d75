"""programs: a description in English, to be answered by a whole small function with a loop, in the image of MBPP."""

import random
from dataclasses import dataclass

from .pieces import WORDS, draw_domain, with_tests
from .rows import Family, Row

NAMES = ("run", "find", "gather", "check", "collect", "make", "handle", "go")


@dataclass(frozen=True)
class Goal:
    """What a loop does: its wordings, the value it starts from, and the line for each item `{e}` that counts."""

    wordings: tuple[str, ...]
    start: str
    step: str


_SHARED = (
    Goal(("counts", "tells the number of"), "0", "result += 1"),
    Goal(("collects", "makes a list of"), "[]", "result.append({e})"),
    Goal(("collects from last to first", "lists in reverse"), "[]", "result.insert(0, {e})"),
    Goal(("finds the last of", "returns the final one of"), "None", "result = {e}"),
)
_GOALS_NUMBERS = (*_SHARED, Goal(("adds up", "sums"), "0", "result += {e}"))
_GOALS_WORDS = (*_SHARED, Goal(("glues together", "joins"), "''", "result += {e}"))
_OPENINGS = ("Write a function {name}({items}) that", "Give me a function {name}({items}) which")

_PROGRAM = """\
def {name}({items}):
    result = {start}
    for {item} in {items}:
        if {condition}:
            {step}
    return result
"""


def draw(rng: random.Random) -> Row:
    domain = draw_domain(rng)
    goal = rng.choice(_GOALS_WORDS if domain is WORDS else _GOALS_NUMBERS)
    condition, condition_words = rng.choice(domain.conditions).draw(rng)
    change, change_words = rng.choice(domain.changes).draw(rng)
    if "{e}" not in goal.step or rng.random() < 0.4:
        change, change_words = domain.item, ""
    said = {"name": rng.choice(NAMES), "items": domain.items, "item": domain.item}
    prompt = f"{rng.choice(_OPENINGS).format(**said)} {rng.choice(goal.wordings)} the {domain.items} {condition_words}"
    step = goal.step.format(e=change)
    return Row(
        key=(step, condition),
        prompt=prompt + (f", {change_words}.\n" if change_words else ".\n"),
        answer=_PROGRAM.format(**said, start=goal.start, condition=condition, step=step),
        extra={"entry_point": said["name"]},
    )


def finish(row: Row, rng: random.Random) -> Row | None:
    return with_tests(row, row.answer, rng)


PROGRAMS = Family("programs", "MBPP", "passes_tests", 80, ("\n\n",), draw, finish, "answer")
