"""JSON-lines files, and JSON files of one list, read with the file and line number in every error."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from .formats import Format
from .rows import Row, rows_from_records


def read_jsonl(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The records of a file with their line numbers from 1; blank lines are passed over.

    A file that begins with `[` is one JSON list; a record's line is the one that it begins on.
    """
    lines = _lines(path)
    first = next((line for line in lines if line.strip()), "")
    found = _of_list(path, "\n".join(lines)) if first.lstrip().startswith("[") else _of_lines(path, lines)
    escaped = any("\\u" in line for line in lines)
    for number, record in found:
        if not isinstance(record, dict):
            raise UserError(f"{path} line {number}: expected a JSON object, got {type(record).__name__}")
        if escaped and _half(record):
            raise UserError(f"{path} line {number}: holds half a character (a lone surrogate such as \\ud800)")
    if not found:
        raise UserError(f"{path}: no rows; expected one JSON object a line")
    return found


def read_rows(
    path: Path, *, task: str, fields: Mapping[str, str] | None = None, layout: Format | None = None
) -> list[Row]:
    """The rows of a file; one without an id is `<file stem>-<line number>`, or by its place where rows share lines."""
    return rows_from_records(named_records(path), task=task, fields=fields, layout=layout)


def named_records(path: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """The place of each record of a file for errors, an id for it, and the record."""
    records = read_jsonl(path)
    one_a_line = len({number for number, _ in records}) == len(records)
    return [
        (f"{path} line {number}", f"{path.stem}-{number if one_a_line else place}", record)
        for place, (number, record) in enumerate(records, start=1)
    ]


def _of_lines(path: Path, lines: list[str]) -> list[tuple[int, Any]]:
    return [(number, _value(path, line, number)) for number, line in enumerate(lines, start=1) if line.strip()]


def _value(path: Path, line: str, number: int) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} line {number}: not valid JSON ({_reason(error)})") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; ValueError where a key comes twice, which json would settle for the last one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(name for name in names if names.count(name) > 1)}' comes twice")
    return found


def _reason(error: Exception) -> str:
    """What is wrong with a text that is no JSON; also a number with more digits than Python reads."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    return getattr(error, "msg", str(error).partition(";")[0])


def _half(value: Any) -> bool:
    """Whether a text in a value cannot be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _of_list(path: Path, text: str) -> list[tuple[int, Any]]:
    """The values of a JSON list with the line that each begins on."""
    decoder, found, line = json.JSONDecoder(object_pairs_hook=_unique), [], 1
    counted, at = 0, _next(text, text.index("[") + 1)
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            wrong = line + text.count("\n", counted, getattr(error, "pos", counted))
            raise UserError(f"{path} line {wrong}: not valid JSON ({_reason(error)})") from None
        found.append((line, value))
        at = _next(text, at)
        if text[at : at + 1] == ",":
            at = _next(text, at + 1)
        elif text[at : at + 1] != "]":
            raise UserError(f"{path} line {1 + text.count(chr(10), 0, at)}: not valid JSON (expected ',' or ']')")
    if text[at + 1 :].strip():
        raise UserError(f"{path} line {1 + text.count(chr(10), 0, _next(text, at + 1))}: more after the list's end")
    return found


def _next(text: str, at: int) -> int:
    """The next place that is no white space."""
    while text[at : at + 1].isspace():
        at += 1
    return at


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
