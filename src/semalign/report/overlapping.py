"""Training rows that share text with rows that are scored, as the table that the section on data shows."""

from . import units
from .record import Record
from .tables import Cell, Column, Row, Table


def overlap(record: Record) -> Table | None:
    """The pairs that the record names; None where there are none."""
    found = record["overlap"]
    if not found or not found["pairs"]:
        return None
    columns = tuple(Column(title, numeric=False) for title in ("Training row", "Scored row", "Shared words"))
    shown = ("training", "evaluation", "words")
    rows = tuple(Row(tuple(Cell(pair[part]) for part in shown)) for pair in found["pairs"])
    return Table("overlap", "Training rows that share text with scored rows", columns, rows, (said(record),))


def said(record: Record) -> str:
    """What was looked for, and what was found; empty where a record does not say."""
    found = record["overlap"]
    if not found:
        return ""
    splits = "train, align, extract and prompts" if record["answers"] else "train, align and extract"
    looked = (
        f"{units.count(found['rows'])} of {units.count(found['training_rows'])} training rows ({splits}) share "
        f"{found['n']} words in a row, or the prompt, with a row that is scored"
    )
    left_out = " and were left out" if found["action"] == "drop" and found["rows"] else ""
    more = f"; the first {len(found['pairs'])} are shown" if len(found["pairs"]) < found["rows"] else ""
    return f"{looked}{left_out}{more}."
