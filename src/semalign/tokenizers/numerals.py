"""Which numbers a tokenizer writes as one token: where two differ, digits are read in other portions."""

from collections.abc import Collection
from dataclasses import dataclass

Counts = tuple[int, int, int]
RANGES = (range(10), range(10, 100), range(100, 1000))


@dataclass(frozen=True)
class Numerals:
    """How many of the 10, 90 and 900 numbers of one, two and three digits are single tokens."""

    teacher: Counts
    student: Counts
    both: Counts

    @property
    def agree(self) -> bool:
        """Whether the same numbers are single tokens on both sides."""
        return self.teacher == self.student == self.both


def numerals(teacher: Collection[bytes], student: Collection[bytes]) -> Numerals:
    """Counted from what tokens stand for, with or without a space before the number."""
    t, s = _numbers(teacher), _numbers(student)
    return Numerals(_counts(t), _counts(s), _counts(t & s))


def _numbers(pieces: Collection[bytes]) -> set[int]:
    one_token = {piece.removeprefix(b" ") for piece in pieces}
    return {number for numbers in RANGES for number in numbers if str(number).encode() in one_token}


def _counts(numbers: set[int]) -> Counts:
    one, two, three = (len(numbers.intersection(of_length)) for of_length in RANGES)
    return one, two, three
