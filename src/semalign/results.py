"""What the stages of a run hand on to each other: rows as tokens, and what a method did with them."""

from dataclasses import dataclass
from typing import Any

from .config import Run
from .data import Example, Task, encode, encode_pair
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
    """
    other = None if teacher is None or read_alike(teacher, model) else teacher
    data = config.data
    if teacher is not None and data.spans is not None and other is None:
        raise UserError("data.spans has no effect: teacher and student have one tokenizer; leave it out")
    examples: dict[str, dict[str, list[Example]]] = {}
    for task in tasks:
        for split, split_rows in task.splits.items():
            how: dict[str, Any] = {"template": data.template, "max_length": data.max_length}
            if other is not None:
                how["spans"] = data.spans or "last"
                how["starts"] = (model.decoder_start, other.decoder_start)
                encoded = encode_pair(split_rows, model.tokenizer, other.tokenizer, **how)
            else:
                encoded = encode(split_rows, model.tokenizer, **how, decoder_start=model.decoder_start)
            examples.setdefault(split, {})[task.name] = encoded
    return Rows(tasks, examples)


def read_alike(teacher: LanguageModel, student: LanguageModel) -> bool:
    """Whether a row is the same tokens for both, in the same parts."""
    return teacher.decoder_start == student.decoder_start and tokenizers_agree(teacher, student).agree
