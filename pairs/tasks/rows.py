"""What a task row is, and the interface of a task family."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Row:
    """One exercise. `key` is its content without wording: splits are disjoint in it."""

    key: Key
    prompt: str
    answer: str
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.prompt + self.answer

    def record(self, identifier: str) -> dict[str, Any]:
        """The row as one JSON line of a task file."""
        return {"id": identifier, "prompt": self.prompt, "answer": self.answer, **self.extra}


@dataclass(frozen=True)
class Family:
    """A task family: how rows are drawn, and how answers to them are scored."""

    name: str
    image_of: str
    scorer: str
    max_new_tokens: int
    stop: tuple[str, ...]
    draw: Callable[[random.Random], Row]
    finish: Callable[[Row, random.Random], Row | None] = lambda row, rng: row
    """Adds what only evaluation needs (tests), so that corpora need not pay for it; None refuses the row."""
    program: str | None = None
    """What is executed before a row's tests."""

    def description(self) -> dict[str, Any]:
        """The family's entry in tasks.yaml."""
        return {
            "in_the_image_of": self.image_of,
            "scorer": self.scorer,
            "max_new_tokens": self.max_new_tokens,
            "stop": list(self.stop),
            **({"program": self.program} if self.program else {}),
        }
