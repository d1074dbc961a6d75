"""What the inspecting verbs share: where they write, and their tables in a terminal and on a page."""

from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import OverflowMethod
from rich.table import Table

from ..artifacts import whole_folder, write_json
from ..errors import UserError
from ..report import SheetTable, write_sheet


def check_fresh(out: Path | None) -> None:
    """Refuse a folder that already holds something; asked before anything is computed."""
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is not an empty folder; choose another --out")


def write_found(
    out: Path | None,
    name: str,
    found: dict[str, Any],
    *,
    title: str,
    lead: Callable[[dict[str, Any]], Sequence[str]],
    tables: Sequence[SheetTable],
) -> None:
    """<name>.json and <name>.html in `out`, both or neither; nothing where it is None."""
    if out is None:
        return
    with whole_folder(out) as folder:
        write_json(folder / f"{name}.json", found)
        write_sheet(
            folder / f"{name}.html", title=title, lead=lead(found), tables=tables, pictures=_pictures(name, found)
        )


def terminal(sheet: SheetTable, left: Collection[str], *, overflow: OverflowMethod = "ellipsis") -> Table:
    """The table for a terminal; the columns `left` are set to the left, the others to the right."""
    table = Table(title=sheet.title, title_justify="left")
    for column in sheet.columns:
        table.add_column(column, justify="left" if column in left else "right", overflow=overflow)
    for row in sheet.rows:
        table.add_row(*row)
    return table


def layer_mix(teacher: Sequence[dict[str, Any]]) -> str:
    """Teacher layers of a pair in plain form, with their weights where there are two."""
    return " + ".join(f"{t['weight']:.2g} x {t['layer']}" if t["weight"] < 1 else str(t["layer"]) for t in teacher)


def _pictures(name: str, found: dict[str, Any]) -> Any:
    """None where matplotlib, which the extra `semalign[report]` installs, is missing."""
    try:
        drawing = import_module(f"semalign.report.plots.{name}_sheet")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return None
    return drawing.pictures(found)
