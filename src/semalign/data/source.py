"""All rows of a source, before any are sampled."""

from dataclasses import dataclass

from .rows import Row


@dataclass(frozen=True)
class Loaded:
    """The rows of each split, with the source's own scoring where it has one, and notes for the report."""

    splits: dict[str, list[Row]]
    score: str | None = None
    max_new_tokens: int = 128
    stop: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
