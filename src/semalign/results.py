"""What the stages of a run hand on to each other: rows as tokens, and what a method did with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .config import Run
from .data import Example, Row, Task, encode, encode_pair
from .errors import UserError
from .methods import Method, Plan
from .models import LanguageModel, tokenizers_agree
from .training import History


@dataclass(frozen=True)
class Rows:
    """The tasks of a run, and their rows as tokens by split."""

    tasks: list[Task]
    examples: dict[str, dict[str, list[Example]]]
    """By split, then by task."""

    def split(self, name: str) -> list[Example]:
        """The rows of a split, task after task."""
        return [example for examples in self.examples.get(name, {}).values() for example in examples]

    @property
    def n_prompt(self) -> int:
        """Prompts that the teacher answers."""
        return sum(len(task.splits.get("prompts", ())) for task in self.tasks)

    def without_prompts(self) -> "Rows":
        """The rows that have gold answers."""
        return Rows(self.tasks, {split: rows for split, rows in self.examples.items() if split != "prompts"})

    def answered(self, answers: Mapping[str, list[Example]]) -> "Rows":
        """With the teacher's answers, by task, to the prompts that it has answered."""
        return Rows(self.tasks, {**self.examples, "prompts": dict(answers)})

    @property
    def of_teacher(self) -> "Rows":
        """The same rows as the teacher reads them."""
        return Rows(
            self.tasks,
            {
                split: {task: [example.of_teacher for example in examples] for task, examples in of_split.items()}
                for split, of_split in self.examples.items()
            },
        )


@dataclass(frozen=True)
class Trained:
    """What one method did."""

    label: str
    method: Method
    plan: Plan
    history: History


def encode_rows(config: Run, tasks: list[Task], model: LanguageModel, teacher: LanguageModel | None = None) -> Rows:
    """Rows as tokens; the splits a run trains or looks at. Test rows are encoded for their counts.

    With a `teacher` whose tokenizer is another one, or that begins in another way, each row holds its tokens too.
    Prompts without an answer are encoded for their counts too.
    """
    if teacher is not None and config.data.spans is not None and read_alike(teacher, model):
        raise UserError("data.spans has no effect: teacher and student have one tokenizer; leave it out")
    examples: dict[str, dict[str, list[Example]]] = {}
    for task in tasks:
        for split, split_rows in task.splits.items():
            examples.setdefault(split, {})[task.name] = encoded(config, split_rows, model, teacher)
    return Rows(tasks, examples)


def encoded(
    config: Run, rows: Sequence[Row], model: LanguageModel, teacher: LanguageModel | None = None
) -> list[Example]:
    """Some rows as tokens, as `encode_rows` makes them."""
    data = config.data
    how: dict[str, Any] = {"template": data.template, "max_length": data.max_length}
    if teacher is None or read_alike(teacher, model):
        return encode(rows, model.tokenizer, **how, decoder_start=model.decoder_start)
    how["spans"] = data.spans or "last"
    how["starts"] = (model.decoder_start, teacher.decoder_start)
    return encode_pair(rows, model.tokenizer, teacher.tokenizer, **how)


def read_alike(teacher: LanguageModel, student: LanguageModel) -> bool:
    """Whether a row is the same tokens for both, in the same parts."""
    return teacher.decoder_start == student.decoder_start and tokenizers_agree(teacher, student).agree
