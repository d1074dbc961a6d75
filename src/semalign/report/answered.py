"""What the teacher answered to prompts: how many, and the first of each task."""

from . import units
from .record import Record
from .rows import prompt_end, text_start
from .tables import Cell, Column, Row, Table

COUNTS = ("prompts", "answers", "unended", "empty")


def answers(record: Record) -> Table | None:
    """By task: prompts, answers that methods train on, and those left out; None where the teacher was asked nothing."""
    if not record["answers"]:
        return None
    columns = (
        Column("Task", numeric=False),
        Column("Prompts"),
        Column("Answers", "kept"),
        Column("Left out", "ran out of room"),
        Column("Left out", "empty"),
    )
    rows = tuple(
        Row((Cell(task), *(Cell(units.count(told.get(name))) for name in COUNTS)))
        for task, told in record["answers"]["tasks"].items()
    )
    return Table("answers", "Prompts that the teacher answered", columns, rows)


def first(record: Record) -> list[dict[str, str]]:
    """The first answer kept of each task: `task`, `id`, and as long as a row of the browser `prompt` and `answer`."""
    found = (record["answers"] or {}).get("first") or {}
    return [
        {
            "task": task,
            "id": str(one["id"]),
            "prompt": prompt_end(str(one["prompt"])),
            "answer": text_start(str(one["answer"])),
        }
        for task, one in found.items()
    ]
