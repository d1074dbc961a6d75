"""A sheet: one self-contained page with a lead, tables and pictures, for what the inspecting verbs found."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import artifacts
from .html import NO_PICTURES, drawn, render
from .tables import Cell, Column, Row, Table

if TYPE_CHECKING:
    from .plots.canvas import Picture  # needs matplotlib, which a sheet without pictures does not

_NUMBER = r"[+−-]?[\d.,]+(?:e[+−-]?\d+)?"
_UNIT = r" ?(?:%|s|MiB|GiB|min \d+ s|h \d+ min)"
NUMBER = re.compile(rf"{_NUMBER}(?:{_UNIT})?(?: \+)?|[–-]|")
WITH_INTERVAL = re.compile(rf"({_NUMBER}) \(({_NUMBER} to {_NUMBER})\)( \+)?")


@dataclass(frozen=True)
class SheetTable:
    """A table of text cells; a column of numbers (with units, intervals, dashes for none) is set to the right."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def write_sheet(
    path: Path,
    *,
    title: str,
    lead: Sequence[str],
    tables: Sequence[SheetTable],
    pictures: Sequence["Picture"] | None,
    answer: Sequence[str] = (),
    repeat: Mapping[str, str] | None = None,
) -> None:
    """Write the page whole or not at all; every text is escaped, and nothing is loaded from elsewhere.

    `answer` stands first, in a box of its own; `repeat` is what the page ends with, texts to be opened, by title.
    `pictures` come from report.plots; None where matplotlib is missing, which the page then says. Raises ValueError
    where a row and its table's columns differ in number, or two pictures share a name.
    """
    found = pictures or ()
    if len({picture.name for picture in found}) < len(found):
        raise ValueError(f"two pictures of '{title}' have the same name, so their parts would mix")
    text = render(
        "sheet.html.j2",
        {
            "title": title,
            "lead": lead,
            "answer": answer,
            "repeat": repeat or {},
            "tables": [_table(place, table) for place, table in enumerate(tables)],
            "pictures": list(drawn({picture.name: picture for picture in found}).values()),
            "notice": "" if pictures is not None else NO_PICTURES,
        },
    )
    artifacts.write_text(path, text)


def _table(place: int, table: SheetTable) -> Table:
    for row in table.rows:
        if len(row) != len(table.columns):
            raise ValueError(f"table '{table.title}': a row of {len(row)} cells under {len(table.columns)} columns")
    rows = tuple(Row(tuple(map(_cell, row))) for row in table.rows)
    columns = tuple(
        Column(name, numeric=bool(rows) and all(NUMBER.fullmatch(row.cells[i].text) for row in rows))
        for i, name in enumerate(table.columns)
    )
    return Table(str(place), table.title, columns, rows)


def _cell(text: str) -> Cell:
    """A number's interval stands below it."""
    found = WITH_INTERVAL.fullmatch(text)
    return Cell(f"{found[1]}{found[3] or ''}", found[2]) if found else Cell(text)
