"""JSON-lines files, read with the file and line number in every error."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from .rows import Row, rows_from_records


def read_jsonl(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The records of a file with their line numbers from 1; blank lines are passed over."""
    records = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            reason = getattr(error, "msg", "nested too deep")
            raise UserError(f"{path} line {number}: not valid JSON ({reason})") from None
        if not isinstance(record, dict):
            raise UserError(f"{path} line {number}: expected a JSON object, got {type(record).__name__}")
        records.append((number, record))
    if not records:
        raise UserError(f"{path}: no rows; expected one JSON object a line")
    return records


def read_rows(path: Path, *, task: str, fields: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of a JSON-lines file; a row without an id is named `<file stem>-<line number>`."""
    named = [(f"{path} line {number}", f"{path.stem}-{number}", record) for number, record in read_jsonl(path)]
    return rows_from_records(named, task=task, fields=fields)


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        # Not splitlines(): JSON strings may hold U+2028 and other separators that are no line ends in JSON lines.
        return content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path} line {line}: not UTF-8; save the file as UTF-8") from None
