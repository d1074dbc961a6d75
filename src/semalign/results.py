"""What the stages of a run hand on to each other: rows as tokens, and what a method did with them."""

from dataclasses import dataclass

from .config import Run
from .data import Example, Task, encode
from .methods import Method, Plan
from .models import LanguageModel
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


@dataclass(frozen=True)
class Trained:
    """What one method did."""

    label: str
    method: Method
    plan: Plan
    history: History


def encode_rows(config: Run, tasks: list[Task], model: LanguageModel) -> Rows:
    """Rows as tokens; the splits a run trains or looks at. Test rows are encoded for their counts."""
    examples: dict[str, dict[str, list[Example]]] = {}
    for task in tasks:
        for split, split_rows in task.splits.items():
            encoded = encode(
                split_rows, model.tokenizer, template=config.data.template, max_length=config.data.max_length
            )
            examples.setdefault(split, {})[task.name] = encoded
    return Rows(tasks, examples)
