"""The synthetic world: people, what is true of them, and the ways to say and to ask it."""

import random
from dataclasses import dataclass

WORLD_SEED = 7
N_PEOPLE = 48

_ONSETS = ("b", "br", "d", "dr", "f", "g", "gr", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("l", "m", "n", "r", "s", "x", "k", "d")


@dataclass(frozen=True)
class Attribute:
    """One thing that is true of each person, with its values and wordings; `{p}` is the person, `{v}` the value."""

    name: str
    value_words: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]

    @property
    def values(self) -> list[str]:
        return self.value_words.split()


ATTRIBUTES = (
    Attribute(
        "town",
        "Arden Belmont Corvin Dunmore Elmstead Fallow Granby Harwick Ilford Jasper Kelso Lorne",
        ("{p} lives in {v}.", "The home of {p} is {v}.", "{p} has a house in {v}.", "In {v} lives {p}."),
        (
            "Where does {p} live?",
            "What is the home of {p}?",
            "In which town does {p} live?",
            "Which town is the home of {p}?",
            "{p} has a house in which town?",
        ),
    ),
    Attribute(
        "job",
        "baker pilot nurse farmer judge tailor miner painter sailor teacher singer cook",
        ("{p} works as a {v}.", "The job of {p} is {v}.", "{p} earns money as a {v}.", "{p} is a {v} by trade."),
        (
            "What is the job of {p}?",
            "What does {p} work as?",
            "Which job does {p} have?",
            "How does {p} earn money?",
            "What is {p} by trade?",
        ),
    ),
    Attribute(
        "pet",
        "cat dog owl fox goat horse duck mouse snake rabbit crow turtle",
        ("{p} has a {v} as a pet.", "The pet of {p} is a {v}.", "{p} keeps a {v} at home.", "A {v} belongs to {p}."),
        (
            "What is the pet of {p}?",
            "Which pet does {p} have?",
            "Which animal does {p} keep at home?",
            "Which animal belongs to {p}?",
            "What animal does {p} have as a pet?",
        ),
    ),
    Attribute(
        "colour",
        "red blue green yellow white black brown purple orange grey pink silver",
        (
            "{p} likes the colour {v}.",
            "The favourite colour of {p} is {v}.",
            "{p} paints everything {v}.",
            "{p} always wears {v}.",
        ),
        (
            "Which colour does {p} like?",
            "What is the favourite colour of {p}?",
            "What colour does {p} always wear?",
            "In which colour does {p} paint everything?",
            "Which colour is the favourite of {p}?",
        ),
    ),
    Attribute(
        "instrument",
        "piano violin flute drum guitar harp trumpet cello organ horn lute banjo",
        (
            "{p} plays the {v}.",
            "The instrument of {p} is the {v}.",
            "{p} makes music on the {v}.",
            "{p} practises the {v} daily.",
        ),
        (
            "What does {p} play?",
            "Which instrument does {p} play?",
            "What is the instrument of {p}?",
            "On what does {p} make music?",
            "Which instrument does {p} practise daily?",
        ),
    ),
    Attribute(
        "food",
        "bread cheese rice soup honey fish cake beans corn plums nuts pasta",
        (
            "{p} likes to eat {v}.",
            "The favourite food of {p} is {v}.",
            "{p} eats {v} every day.",
            "{p} cannot live without {v}.",
        ),
        (
            "What does {p} like to eat?",
            "What is the favourite food of {p}?",
            "Which food does {p} eat every day?",
            "Without which food can {p} not live?",
            "Which food does {p} like?",
        ),
    ),
)


@dataclass(frozen=True)
class World:
    """People and, for each (person, attribute name), the true value."""

    people: tuple[str, ...]
    truth: dict[tuple[str, str], str]

    def statement(self, rng: random.Random) -> str:
        """One to four true sentences about one person."""
        person = rng.choice(self.people)
        chosen = rng.sample(ATTRIBUTES, rng.randint(1, 4))
        return " ".join(rng.choice(a.statements).format(p=person, v=self.truth[person, a.name]) for a in chosen)


def _name(rng: random.Random) -> str:
    middle = rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
    return (rng.choice(_ONSETS) + rng.choice(_VOWELS) + middle).capitalize()


def make_world(seed: int = WORLD_SEED, n_people: int = N_PEOPLE) -> World:
    """Draws the people and what is true of them."""
    rng = random.Random(seed)
    people: list[str] = []
    while len(people) < n_people:
        name = _name(rng)
        if name not in people:
            people.append(name)
    truth = {(person, a.name): rng.choice(a.values) for person in people for a in ATTRIBUTES}
    return World(tuple(people), truth)


WORLD = make_world()
