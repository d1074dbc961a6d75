"""How two tokenizers cut numbers: where they differ, digits are read in other portions."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from .scheme import scheme

Counts = tuple[int, int, int]
RANGES = (range(10), range(10, 100), range(100, 1000))
LONG = "1234567890"  # in threes from the left and from the right it is cut at other places


@dataclass(frozen=True)
class Numerals:
    """How many of the 10, 90 and 900 numbers of one, two and three digits are single tokens, and how LONG is cut."""

    teacher: Counts
    student: Counts
    both: Counts
    cut_teacher: tuple[str, ...]
    cut_student: tuple[str, ...]

    @property
    def agree(self) -> bool:
        """Whether the same numbers are single tokens on both sides, and a longer one is cut alike."""
        return self.teacher == self.student == self.both and self.cut_teacher == self.cut_student


def numerals(teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase) -> Numerals:
    """Counted from the tokens that texts of one number are written with, with or without a space before it."""
    t, s = _single(teacher), _single(student)
    cuts = (_cuts(tokenizer, [LONG])[0] for tokenizer in (teacher, student))
    return Numerals(_counts(t), _counts(s), _counts(t & s), *cuts)


def _single(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    numbers = [number for numbers in RANGES for number in numbers]
    alone, after_space = (_cuts(tokenizer, [f"{before}{number}" for number in numbers]) for before in ("", " "))
    return {number for number, *cuts in zip(numbers, alone, after_space, strict=True) if (str(number),) in cuts}


def _cuts(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[tuple[str, ...]]:
    """What the tokens of each text stand for, without the space before it and tokens of nothing else."""
    own = scheme(tokenizer)
    written = [tokenizer.convert_ids_to_tokens(ids) for ids in tokenizer(texts, add_special_tokens=False).input_ids]
    read = [[own.bytes_of(piece).decode(errors="replace").strip() for piece in pieces] for pieces in written]
    return [tuple(filter(None, pieces)) for pieces in read]


def _counts(numbers: set[int]) -> Counts:
    one, two, three = (len(numbers.intersection(of_length)) for of_length in RANGES)
    return one, two, three
