"""`semalign compare`: compare.json, compare.md, compare.csv and compare.html of finished runs and sweeps."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..artifacts import write_json, write_text
from ..errors import UserError
from ..report import SheetTable, write_sheet
from . import words
from .collect import collect
from .result import result
from .tables import CSV_COLUMNS, Table, all_tables, csv_rows

RESULT = "compare.json"


def compare(
    folders: Sequence[str | Path], out: str | Path | None = None, *, title: str = "Comparison"
) -> dict[str, Any]:
    """The comparison of runs and sweeps, written into `out` where given; an older comparison there is replaced."""
    if out is not None:
        refuse_other(Path(out))
    found = result(collect(folders))
    if out is not None:
        write(found, Path(out), title)
    return found


def refuse_other(out: Path, *marks: str) -> None:
    """Refuse a folder with files where none of them is a comparison's."""
    known = any((out / mark).exists() for mark in (RESULT, *marks))
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not known):
        raise UserError(f"{out}: holds something else than a comparison; choose another --out")


def write(found: dict[str, Any], out: Path, title: str) -> dict[str, Any]:
    """All four files; returns what compare.json holds."""
    write_json(out / RESULT, found)
    write_text(out / "compare.md", markdown(found, title))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows(csv_rows(found))
    write_text(out / "compare.csv", buffer.getvalue())
    tables = [SheetTable(table.title, table.columns, table.rows) for table in all_tables(found) if table.rows]
    answer = words.first(found)
    lead = [each for each in (*words.lead(found), *failures(found)) if each not in answer]
    repeat = {"Exact configurations": "\n\n".join(_configurations(found))}
    page = out / "compare.html"
    write_sheet(page, title=title, answer=answer, lead=lead, tables=tables, pictures=_pictures(found), repeat=repeat)
    return found


def markdown(found: Mapping[str, Any], title: str) -> str:
    """A section a table, an axis under its conclusion; then what failed and the configurations."""
    parts = [f"# {title}", *words.lead(found)]
    for table in all_tables(found):
        parts += [f"## {table.title}", *table.lead, _table(table) if table.rows else ""]
    if found["failed"]:
        parts += ["## Failed", _list(failures(found))]
    parts += ["## Configurations", *_configurations(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def failures(found: Mapping[str, Any]) -> list[str]:
    return [f"Not counted: {each['folder']} ({each['reason']})." for each in found["failed"]]


def _configurations(found: Mapping[str, Any]) -> list[str]:
    if "methods" in found["config"]:
        methods = found["config"]["methods"].items()
        return ["The methods:", _list([f"{name}: `{_flow(_said(method))}`" for name, method in methods]), _base(found)]
    return ["What every variant changes:", _list(_changes(found)), "The base:", _base(found)]


def _changes(found: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: `{_flow(method['overrides'])}`"
        + (f" (* another budget: {', '.join(method['budget'])})" if method["budget"] else "")
        for name, method in found["methods"].items()
        if method["overrides"]
    ]


def _flow(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(values, default_flow_style=True, width=10**9, sort_keys=False).strip()


def _base(found: Mapping[str, Any]) -> str:
    config = _said({key: value for key, value in found["config"].items() if key != "methods"})
    return f"```yaml\n{yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)}```"


def _said(value: Any) -> Any:
    """Without what is null, which is what a configuration that leaves it out says too."""
    if isinstance(value, list):
        return [_said(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    kept = {key: _said(item) for key, item in value.items() if item is not None}
    return {key: item for key, item in kept.items() if item != {}}


def _table(table: Table) -> str:
    cells = [table.columns, ("---", *["--:"] * (len(table.columns) - 1)), *table.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _pictures(found: Mapping[str, Any]) -> list[Any] | None:
    """The drawings, or None where matplotlib is missing."""
    try:
        from ..report.plots.compare_models import standings
        from ..report.plots.compare_sheet import forests
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return None
    return [*(standings(found) if not found["axes"] else ()), *forests(found)]
