"""Teacher and student with two tokenizers: how far they can be compared, measured on the rows of the run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .data import Example, answer_coverage, prompt_coverage
from .errors import UserError
from .methods import Method
from .models import LanguageModel, SharedTokens
from .results import Rows
from .tokenizers import Numerals

LEAST, FEW = 0.5, 0.9
"""Shares below which a pair is refused, and below which the run warns."""


@dataclass(frozen=True)
class TwoTokenizers:
    """What both models have in common where their tokenizers differ."""

    difference: str
    n_shared: int
    n_teacher: int
    n_student: int
    coverage_teacher: float
    """Share of the teacher's tokens that the student has too, in [0, 1]."""
    coverage_student: float
    numerals: Numerals
    positions: dict[str, float]
    """By task: share of the answer's positions at which the teacher has read the same text."""
    answer_tokens: dict[str, float]
    """By task: share of the answer's tokens that the teacher has too."""

    @property
    def warnings(self) -> list[str]:
        found = []
        for task, share in self.positions.items():
            if share < FEW:
                found.append(f"{task}: the teacher can be followed at {share:.1%} of the answer's positions")
        for task, share in self.answer_tokens.items():
            if share < FEW:
                found.append(f"{task}: {share:.1%} of the answer's tokens are tokens of the teacher's too")
        return found

    def plain(self) -> dict[str, Any]:
        return {
            "difference": self.difference,
            "tokens": {"shared": self.n_shared, "teacher": self.n_teacher, "student": self.n_student},
            "coverage": {"teacher": self.coverage_teacher, "student": self.coverage_student},
            "numerals": asdict(self.numerals),
            "positions": self.positions,
            "answer_tokens": self.answer_tokens,
        }


def compare_tokenizers(
    rows: Rows, teacher: LanguageModel, student: LanguageModel, tokens: SharedTokens
) -> TwoTokenizers | None:
    """None where one tokenizer does for both; raises UserError where the teacher can hardly be followed."""
    by_task = _by_task(rows)
    positions = _shares(by_task, answer_coverage, "the answer's positions", teacher, student)
    if tokens.matched is None or tokens.difference is None:
        return None
    matched = tokens.matched
    return TwoTokenizers(
        difference=tokens.difference,
        n_shared=len(matched),
        n_teacher=matched.n_teacher,
        n_student=matched.n_student,
        coverage_teacher=matched.coverage_teacher,
        coverage_student=matched.coverage_student,
        numerals=matched.numerals,
        positions=positions,
        answer_tokens={
            task: matched.coverage_of((token for e in examples for token in e.input_ids[e.n_prompt :]), "student")
            for task, examples in by_task.items()
        },
    )


def prompts_followed(
    methods: Iterable[Method], rows: Rows, teacher: LanguageModel, student: LanguageModel
) -> dict[str, float]:
    """By task, share of the tokens of the student's encoder at which the teacher can be followed, in [0, 1].

    Empty where no method pairs the encoder's layers; raises UserError where the teacher can hardly be followed.
    """
    if all(getattr(method, "part", "decoder") == "decoder" for method in methods):
        return {}
    return _shares(_by_task(rows), prompt_coverage, "the prompt's tokens", teacher, student)


def few_followed(prompts: Mapping[str, float]) -> list[str]:
    """A line on each task where an encoder can be taught at few tokens."""
    return [
        f"{task}: the teacher can be followed at {share:.1%} of the prompt's tokens"
        for task, share in prompts.items()
        if share < FEW
    ]


def _shares(
    by_task: Mapping[str, Sequence[Example]],
    measure: Callable[[Sequence[Example]], float],
    of_what: str,
    teacher: LanguageModel,
    student: LanguageModel,
) -> dict[str, float]:
    shares = {task: measure(examples) for task, examples in by_task.items()}
    for task, share in shares.items():
        if share < LEAST:
            raise UserError(
                f"the tokenizers of teacher {teacher.name} and student {student.name} cannot be aligned on task "
                f"'{task}': both have read the same text at {share:.1%} of {of_what}, and {LEAST:.0%} are "
                "needed; choose a pair whose tokens end at the same places"
            )
    return shares


def _by_task(rows: Rows) -> dict[str, list[Example]]:
    """All that is trained on or looked at; scored rows are each model's own business."""
    return {
        task.name: [
            e for split in ("train", "extract", "align") for e in rows.examples.get(split, {}).get(task.name, [])
        ]
        for task in rows.tasks
    }
