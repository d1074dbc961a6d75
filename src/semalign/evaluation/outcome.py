"""What a scorer says about one generation."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """`value` in [0, 1]; `read` is what the scorer took from the generation; `reason` says why it fails, or is ''."""

    value: float
    read: str
    reason: str
