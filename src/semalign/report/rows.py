"""Row by row: what each model answered to each scored row, bounded so that the page stays small."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2.utils import htmlsafe_json_dumps

from ..artifacts import read_json
from . import units
from .record import Record, label, main_control, main_method, models
from .tables import Cell, Column, Row, Table

FOLDERS = {"eval": "", "benchmarks": "benchmark "}
BEFORE = "student"
APART = 0.05  # outcomes farther apart are a change; between them lies only the noise of a probability a byte
QUIET_ROWS = 50  # rows a task that no training changed
TEXT_LETTERS = 1_500  # of an answer; longer ones lose their end
PROMPT_LETTERS = 800  # of a prompt; longer ones lose their beginning, where worked examples stand
ROWS_BYTES = 1_200_000  # of all rows, so that a page opens at once


def read_rows(folder: Path, record: Record) -> list[dict[str, Any]]:
    """By task: its name and its rows, each with prompt, gold and an answer and outcome by model; empty where none are.

    Rows are those that the first model was asked; an answer of another model is None where it was not asked.
    """
    keys = [model["key"] for model in models(record)]
    tasks = []
    for part, prefix in FOLDERS.items():
        names = sorted({path.stem for key in keys for path in (folder / part / key).glob("*.json")} - {"evaluation"})
        for name in names:
            paths = {key: folder / part / key / f"{name}.json" for key in keys}
            found = {key: read_json(path) for key, path in paths.items() if path.exists()}
            rows = list(_rows(found))
            if rows:
                tasks.append({"name": f"{prefix}{name}", "rows": rows})
    return tasks


def _rows(found: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    samples = {key: {_name(sample): sample for sample in each.get("samples", ())} for key, each in found.items()}
    measured = {key: _outcomes(each) for key, each in found.items()}
    for name, first in next(iter(samples.values()), {}).items():
        yield {
            "id": name,
            "prompt": str(first.get("prompt", "")),
            "gold": _text(first.get("gold")),
            "answers": {
                key: {"text": _answer(rows[name]), "outcome": measured[key].get(name)} if name in rows else None
                for key, rows in samples.items()
            },
        }


def _name(sample: Mapping[str, Any]) -> str:
    return str(sample.get("id", sample.get("index", "")))


def _outcomes(each: Mapping[str, Any]) -> dict[str, float]:
    """In [0, 1] by row: the scorer's outcome, or the gold answer's probability a byte."""
    found = {}
    for sample in each.get("samples", ()):
        if sample.get("outcome") is not None:
            found[_name(sample)] = float(sample["outcome"])
        elif sample.get("outcomes"):
            found[_name(sample)] = sum(sample["outcomes"]) / len(sample["outcomes"])
        elif sample.get("bits") is not None and sample.get("bytes"):
            found[_name(sample)] = 2 ** (-sample["bits"] / sample["bytes"])
    return found


def _answer(sample: Mapping[str, Any]) -> str | None:
    """What was generated, the first of several; None where nothing was."""
    given = sample.get("generation", sample.get("generations"))
    return _text(given[0] if isinstance(given, list) and given else given)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def changes(record: Record, tasks: Sequence[Mapping[str, Any]]) -> Table | None:
    """Rows gained and lost by the method, against the student before and against its control, by task."""
    control = main_control(record)
    method = main_method(record) or control
    if method is None:
        return None
    against = [key for key in (BEFORE, control) if key and key != method]
    columns = (
        Column("Comparison", numeric=False),
        Column("Task", numeric=False),
        *map(Column, ("Rows", "Gained", "Lost", "Same")),
    )
    rows = []
    for than in against:
        for task in tasks:
            moves = [_move(row, than, method) for row in task["rows"]]
            counts = [sum(move == kind for move in moves) for kind in (1, -1, 0)]
            if sum(counts):
                cells = (f"{label(record, method)} − {label(record, than)}", str(task["name"]))
                numbers = (units.count(sum(counts)), *map(units.count, counts))
                rows.append(Row((*map(Cell, cells), *map(Cell, numbers))))
    note = f"Gained: the row's outcome in [0, 1] is higher by more than {APART}; lost: lower by more than that."
    return Table("changes", "Rows gained and lost", columns, tuple(rows), (note,)) if rows else None


def _move(row: Mapping[str, Any], before: str, after: str) -> int | None:
    """1 gained, -1 lost, 0 the same; None where one was not measured."""
    a, b = ((row["answers"].get(key) or {}).get("outcome") for key in (before, after))
    if a is None or b is None:
        return None
    return (b - a > APART) - (a - b > APART)


def browser(record: Record, tasks: Sequence[Mapping[str, Any]], room: int = ROWS_BYTES) -> dict[str, Any] | None:
    """What the page's row browser shows: rows that a training changed first, then others, up to `room` bytes."""
    if not tasks:
        return None
    keys = [model["key"] for model in models(record)]
    keys = [key for key in keys if any(key in row["answers"] for task in tasks for row in task["rows"])]
    trained = [model["key"] for model in models(record) if model["role"] in ("control", "method")]
    queues = [_first_changed(task["rows"], trained) for task in tasks]
    left, kept = min(room, ROWS_BYTES), [[] for _ in tasks]
    for place, row in _by_turns(queues):
        entry = _entry(row, keys)
        left -= len(htmlsafe_json_dumps(entry)) + 2
        if left < 0:
            break
        kept[place].append(entry)
    after = main_method(record) or main_control(record) or keys[-1]
    return {
        "models": [label(record, key) for key in keys],
        "from": keys.index(BEFORE) if BEFORE in keys else 0,
        "to": keys.index(after) if after in keys else len(keys) - 1,
        "apart": APART,
        "tasks": [{"name": task["name"], "rows": rows} for task, rows in zip(tasks, kept, strict=True)],
        "shown": sum(map(len, kept)),
        "all": sum(len(task["rows"]) for task in tasks),
    }


def _first_changed(rows: Iterable[dict[str, Any]], trained: Sequence[str]) -> list[dict[str, Any]]:
    changed, quiet = [], []
    for row in rows:
        is_changed = any(_move(row, BEFORE, key) for key in trained)
        (changed if is_changed else quiet).append(row)
    return [*changed, *quiet[:QUIET_ROWS]]


def _by_turns(queues: Sequence[Sequence[dict[str, Any]]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """One row a task in turn, so that where room ends it ends for all tasks alike."""
    for depth in range(max(map(len, queues), default=0)):
        for place, queue in enumerate(queues):
            if depth < len(queue):
                yield place, queue[depth]


def _entry(row: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    answers = [row["answers"].get(key) for key in keys]
    return {
        "id": row["id"],
        "prompt": prompt_end(row["prompt"]),
        "gold": _shortened(row["gold"]),
        "answers": [answer and [_shortened(answer["text"]), answer["outcome"]] for answer in answers],
    }


def _shortened(text: str | None) -> str | None:
    return None if text is None else text_start(text)


def text_start(text: str) -> str:
    """An answer as long as a page shows it."""
    return text if len(text) <= TEXT_LETTERS else f"{text[:TEXT_LETTERS]}…"


def prompt_end(text: str) -> str:
    """A prompt as long as a page shows it."""
    return text if len(text) <= PROMPT_LETTERS else f"…{text[-PROMPT_LETTERS:]}"
