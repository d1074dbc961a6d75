"""HumanEval: Python functions to complete from signature and docstring. Test rows only.

In plain text the model completes the function; in chat the answer is opened for it in MBPP's format, up to the
docstring. Source: Chen et al. 2021, arXiv:2107.03374.
"""

from pathlib import Path
from typing import Any

from ..hub import hub_records
from ..jsonl import read_jsonl
from ..rows import Row, text_field
from ..source import Loaded
from .mbpp import BEFORE_CODE, request
from .protocol import expect

SIZE = 164
HUB = "openai/openai_humaneval"
STOP = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint(", "\n```")
"""What cannot stand in a function's body: the completion ends there."""


def load(folder: Path | None, task: str) -> Loaded:
    """Rows `HumanEval/<n>`."""
    note = (
        f"{task}: HumanEval has test rows only; what is trained on comes from other tasks (the LaTen rows are of MBPP)"
    )
    return Loaded({"test": tested_rows(folder, task)}, "passes_tests", 256, STOP, (note,))


def tested_rows(folder: Path | None, task: str) -> list[Row]:
    records = (
        hub_records(HUB, "test") if folder is None else [record for _, record in read_jsonl(folder / "HumanEval.jsonl")]
    )
    expect(len(records), SIZE, HUB if folder is None else folder / "HumanEval.jsonl")
    return [_row(record, task) for record in records]


def _row(record: dict[str, Any], task: str) -> Row:
    names = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
    identifier, prompt, solution, test, entry_point = (text_field(record, name, "HumanEval") for name in names)
    # The line end goes to the answer: tokenizers merge it with the indentation that follows.
    opening = prompt.rstrip("\n")
    turns = ({"role": "user", "content": request(prompt)}, {"role": "assistant", "content": f"{BEFORE_CODE}{opening}"})
    tests = f"{test}\ncheck({entry_point})"
    extra = {"tests": tests, "entry_point": entry_point, "code_prefix": prompt}
    return Row(identifier, task, opening, f"{prompt[len(opening) :]}{solution}", turns, extra)
