"""How far teacher and student can be compared where their tokenizers differ, for the section on data."""

from . import units
from .record import Record
from .tables import Cell, Column, Row, Table


def two_tokenizers(record: Record) -> Table | None:
    """Coverage by task; None where both models have one tokenizer."""
    found = record["tokenizers"]
    if not found:
        return None
    columns = (
        Column("Task", numeric=False),
        Column("Answer positions with a teacher position", "%"),
        Column("Answer tokens that the teacher has too", "%"),
    )
    rows = tuple(
        Row((Cell(task), Cell(units.percent(share)), Cell(units.percent(found["answer_tokens"][task]))))
        for task, share in found["positions"].items()
    )
    return Table("tokenizers", "Two tokenizers", columns, rows, (_said(found),))


def _said(found: dict) -> str:
    shared, (teacher, student) = (
        found["tokens"]["shared"],
        (_vocabulary(found, side) for side in ("teacher", "student")),
    )
    said = (
        f"The tokenizers differ ({found['difference']}): {units.count(shared)} tokens are the same, of {teacher} of "
        f"the teacher's and {student} of the student's. "
        "Positions are compared where both have read the same bytes of the answer."
    )
    numbers = found["numerals"]
    teacher, student, both = (numbers[side] for side in ("teacher", "student", "both"))
    cuts = [" ".join(numbers.get(cut, [])) for cut in ("cut_teacher", "cut_student")]  # old records have none
    if teacher == student == both and cuts[0] == cuts[1]:
        return said
    long = f"; a long one is cut as {cuts[0]} by the teacher's and as {cuts[1]} by the student's" if any(cuts) else ""
    return (
        f"{said} Numbers are read in other portions: of one, two and three digits {', '.join(map(str, teacher))} "
        f"are tokens of the teacher's, {', '.join(map(str, student))} of the student's{long}."
    )


def _vocabulary(found: dict, side: str) -> str:
    """How many tokens a side has, and the share of them that is the other's too, which old records do not hold."""
    share = found.get("coverage", {}).get(side)
    return units.count(found["tokens"][side]) + ("" if share is None else f" ({units.percent(share)} %)")
