"""A sheet: one self-contained page with a lead, tables and pictures, for what the inspecting verbs found."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import artifacts
from .html import NO_PICTURES, drawn, render
from .tables import Cell, Column, Row, Table

if TYPE_CHECKING:
    from .plots.canvas import Picture  # needs matplotlib, which a sheet without pictures does not

NUMBER = re.compile(r"[+−-]?[\d.,]+(e[+−-]?\d+)?( ?%)?|[–-]|")


@dataclass(frozen=True)
class SheetTable:
    """A table of text cells; a column whose every cell is a number, a dash or empty is set to the right."""

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
) -> None:
    """Write the page whole or not at all; every text is escaped, and nothing is loaded from elsewhere.

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
    columns = tuple(
        Column(name, numeric=bool(table.rows) and all(NUMBER.fullmatch(row[i]) for row in table.rows))
        for i, name in enumerate(table.columns)
    )
    return Table(str(place), table.title, columns, tuple(Row(tuple(map(Cell, row))) for row in table.rows))
