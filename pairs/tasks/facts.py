"""facts: four-option questions about the synthetic world, in the image of MMLU as scored by the options' own text.

Every fact is known from the corpora; a held-out row asks for it in a wording that no other split uses for that fact.
The corpora also hold the questions with lettered options, whose answer is a letter.
"""

import random
from dataclasses import replace

from world import ATTRIBUTES, WORLD

from .rows import Family, Row

LETTERS = "ABCD"


def draw(rng: random.Random) -> Row:
    person, attribute = rng.choice(WORLD.people), rng.choice(ATTRIBUTES)
    form = rng.randrange(len(attribute.questions))
    true = WORLD.truth[person, attribute.name]
    options = [true, *rng.sample([v for v in attribute.values if v != true], 3)]
    rng.shuffle(options)
    return Row(
        key=(person, attribute.name, form),
        prompt=attribute.questions[form].format(p=person) + "\nAnswer:",
        answer=f" {true}",
        extra={"choices": [f" {option}" for option in options], "gold": options.index(true)},
    )


def lettered(row: Row) -> Row:
    """The same question with its options spelt out, answered by a letter."""
    question = row.prompt.removesuffix("\nAnswer:")
    lines = [f"{letter}.{option}" for letter, option in zip(LETTERS, row.extra["choices"], strict=True)]
    return replace(row, prompt="\n".join([question, *lines, "Answer:"]), answer=f" {LETTERS[row.extra['gold']]}")


FACTS = Family("facts", "MMLU", "multiple_choice", 4, ("\n",), draw)
