"""functions: a signature and a docstring, to be completed by a body of one expression, in the image of HumanEval."""

import random

from .pieces import WORDS, Domain, draw_domain, with_tests
from .rows import Family, Row

NAMES = ("solve", "pick", "compute", "build", "answer", "measure", "derive", "work")

_COUNT, _LIST = "count", "list"
# How the items are gathered, and its wordings.
_GATHER_NUMBERS = {
    "sum": ("the sum", "the total"),
    "max": ("the largest", "the maximum"),
    "min": ("the smallest", "the minimum"),
    "sorted": ("the sorted list", "in rising order all"),
    "set": ("the set", "without repeats all"),
    _LIST: ("the list", "a list"),
    _COUNT: ("the number", "the count"),
}
_GATHER_WORDS = {
    "' '.join": ("one string", "the joined text"),
    "'-'.join": ("the chain", "joined by a dash all"),
    "max": ("the last by alphabet", "the alphabetical last"),
    "min": ("the first by alphabet", "the alphabetical first"),
    "sorted": ("the sorted list", "in alphabetical order all"),
    _LIST: ("the list", "a list"),
}


def draw(rng: random.Random) -> Row:
    domain = draw_domain(rng)
    gather, wordings = rng.choice(list((_GATHER_WORDS if domain is WORDS else _GATHER_NUMBERS).items()))
    condition, condition_words = rng.choice(domain.conditions).draw(rng)
    change, change_words = rng.choice(domain.changes).draw(rng)
    if gather == _COUNT or rng.random() < 0.4:
        change, change_words = domain.item, ""
    name = rng.choice(NAMES)
    sentence = f"Return {rng.choice(wordings)} of the {domain.items} {condition_words}"
    sentence += f", {change_words}." if change_words else "."
    return Row(
        key=(gather, change, condition),
        prompt=f'def {name}({domain.items}):\n    """{sentence}"""\n',
        answer=f"    return {_expression(gather, change, domain, condition)}\n",
        extra={"entry_point": name},
    )


def _expression(gather: str, change: str, domain: Domain, condition: str) -> str:
    loop = f"for {domain.item} in {domain.items} if {condition}"
    if gather == _COUNT:
        return f"sum(1 {loop})"
    return f"[{change} {loop}]" if gather == _LIST else f"{gather}({change} {loop})"


def finish(row: Row, rng: random.Random) -> Row | None:
    return with_tests(row, row.text, rng)


FUNCTIONS = Family("functions", "HumanEval", "passes_tests", 56, ("\n\n", "\ndef"), draw, finish, "prompt + answer")
