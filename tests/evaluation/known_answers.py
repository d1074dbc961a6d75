"""Rows of every kind of task, and an lm-eval model that knows their answers."""

from collections.abc import Mapping

from lm_eval.api.model import LM
from transformers import PreTrainedTokenizerFast

from semalign.data import Row, Task


def task(
    name: str, rows: list[Row], score: str | None = None, max_new_tokens: int = 12, stop: tuple[str, ...] = ("\n",)
) -> Task:
    return Task(name=name, score=score, max_new_tokens=max_new_tokens, stop=list(stop), splits={"test": rows})


def choice_rows(n_row: int = 7) -> list[Row]:
    choices = [f" {letter}" for letter in "ABCD"]
    return [
        Row(
            f"c{i}",
            "facts",
            f"Which one is {i * 37}?\nAnswer:",
            choices[i % 4],
            extra={"choices": choices, "gold": i % 4},
        )
        for i in range(n_row)
    ]


def number_rows(n_row: int = 6) -> list[Row]:
    return [
        Row(
            f"n{i}",
            "sums",
            f"Question: {'what is ' * (i % 3)}{i} + {i}?\nAnswer:",
            f" It is {2 * i}.",
            extra={"final": str(2 * i)},
        )
        for i in range(n_row)
    ]


def body_rows(n_row: int = 3) -> list[Row]:
    return [
        Row(
            f"b{i}",
            "bodies",
            f'def add(x):\n    """Return x plus {i}."""\n',
            f"    return x + {i}\n",
            extra={"tests": f"assert add(1) == {1 + i}\nassert add(5) == {5 + i}", "entry_point": "add"},
        )
        for i in range(n_row)
    ]


def function_rows(n_row: int = 3) -> list[Row]:
    return [
        Row(
            f"f{i}",
            "functions",
            f"Write a function times(x) that gives x times {i}.\n",
            f"def times(x):\n    return x * {i}\n",
            extra={"tests": f"assert times(1) == {i}\nassert times(5) == {5 * i}", "entry_point": "times"},
        )
        for i in range(n_row)
    ]


def all_tasks() -> list[Task]:
    return [
        task("facts", choice_rows(), "multiple_choice", 2),
        task("sums", number_rows(), "exact_match", 9),
        task("bodies", body_rows(), "passes_tests", 11, ("\n\n", "\ndef")),
        task("functions", function_rows(), "passes_tests", 11, ("\n\n",)),
    ]


class Oracle(LM):
    """Answers every prompt with its gold answer; `wrong` makes it answer anything else."""

    def __init__(self, tasks: list[Task], tokenizer: PreTrainedTokenizerFast, *, wrong: bool = False) -> None:
        super().__init__()
        self.gold: Mapping[str, str] = {row.prompt: row.answer for task in tasks for row in task.splits["test"]}
        self.tokenizer, self.wrong, self.asked = tokenizer, wrong, 0

    def loglikelihood(self, requests, disable_tqdm=True):
        self.asked += len(requests)
        right = [self.gold[r.args[0]] == r.args[1] for r in requests]
        return [(-1.0 if is_gold != self.wrong else -9.0, is_gold != self.wrong) for is_gold in right]

    def loglikelihood_rolling(self, requests, disable_tqdm=True):
        raise NotImplementedError

    def generate_until(self, requests, disable_tqdm=True):
        self.asked += len(requests)
        return ["none" if self.wrong else self.gold[r.args[0]] for r in requests]
