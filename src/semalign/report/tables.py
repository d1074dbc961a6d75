"""The tables of a report, as text cells that the page and the card both print: scores, differences, data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import units
from .answer import reading
from .record import (
    LEVEL,
    MEAN,
    Record,
    known,
    label,
    likelihood_tasks,
    mean,
    mean_bits,
    models,
    score,
    scored_tasks,
    the_teacher,
)

SPLITS = {"prompts": "prompts answered by the teacher"}  # splits whose name does not say what they are
READINGS = {"helps": "higher", "hurts": "lower", "unclear": "no clear difference", "unknown": ""}


@dataclass(frozen=True)
class Cell:
    """What is read first, and the smaller second line (an interval, a role)."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class Column:
    title: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Row:
    """The first cell names the row; the role decides its colour."""

    cells: tuple[Cell, ...]
    role: str = ""


@dataclass(frozen=True)
class Table:
    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def scores(record: Record) -> Table:
    """Each model's score by task with interval, plain mean, mean gap, bits per byte, trainable parameters."""
    tasks = scored_tasks(record)
    columns = (
        Column("Model", numeric=False),
        *(Column(task, _metric(record, task)) for task in tasks),
        Column("Mean", "%"),
        Column(f"Mean gap to {the_teacher(record).removeprefix('the ')}", "points"),
        Column("Bits per byte", "mean, lower is better"),
        Column("Trainable", "parameters"),
    )
    rows = tuple(_score_row(record, tasks, model) for model in models(record))
    return Table("scores", "Held-out scores of every model", columns, rows, _score_notes(record))


def _score_row(record: Record, tasks: list[str], model: Mapping[str, Any]) -> Row:
    key, name, role = model["key"], str(model["label"]), str(model["role"])
    shares = [(score(record, task, key), "score") for task in tasks]
    shares += [(mean(record, "mean_score", key), "value"), (mean(record, "mean_gap", key), "value")]
    cells = [
        Cell(name, "" if role in name else role),
        *(_interval(values, name) for values, name in shares),
        Cell(units.decimal(mean_bits(record, key))),
        Cell(units.count(model.get("trainable"))),
    ]
    return Row(tuple(cells), role)


def _interval(values: Mapping[str, Any], name: str) -> Cell:
    ends = (units.percent(values.get(end)) for end in ("low", "high"))
    return Cell(units.percent(values.get(name)), units.span(*ends) if known(values.get(name)) else "")


def _metric(record: Record, task: str) -> str:
    metrics = [cell["metric"] for cell in record["scores"][task].values() if cell and cell.get("metric")]
    return f"{metrics[0].replace('_', ' ')}, %" if metrics else "%"


def _score_notes(record: Record) -> tuple[str, ...]:
    notes = [
        f"With each score its {LEVEL} % bootstrap interval over test rows. Mean gap: mean over tasks of the distance "
        f"to {the_teacher(record)}'s score, above or below."
    ]
    for task, row in record["scores"].items():
        reasons = "; ".join(sorted({str(cell["reason"]) for cell in row.values() if cell and cell.get("reason")}))
        if task in likelihood_tasks(record):
            shown = "shown is the gold answers' probability a byte"
            notes.append(f"{task}: answers were not checked{f' ({reasons})' if reasons else ''}; {shown}.")
        elif reasons or task not in scored_tasks(record):
            notes.append(f"{task} has no score: {reasons or 'only bits per byte was measured'}.")
    return tuple(notes)


def bits(record: Record) -> Table | None:
    """Bits per byte of held-out gold answers, by task."""
    tasks = [
        task
        for task, row in record["scores"].items()
        if any(known((cell or {}).get("bits_per_byte")) for cell in row.values())
    ]
    if not tasks:
        return None
    columns = (Column("Model", numeric=False), *(Column(task, "bits per byte") for task in tasks))
    rows = tuple(
        Row(
            (Cell(str(model["label"])), *(_bits_cell(score(record, task, model["key"])) for task in tasks)),
            str(model["role"]),
        )
        for model in models(record)
    )
    note = (
        "Lower is better. Dominated by the answers' format: compare with a teacher adapted on the same rows before "
        "reading it as knowledge."
    )
    return Table("bits", "Bits per byte of held-out gold answers", columns, rows, (note,))


def _bits_cell(values: Mapping[str, Any]) -> Cell:
    ends = (units.decimal(values.get(end)) for end in ("bits_low", "bits_high"))
    return Cell(units.decimal(values.get("bits_per_byte")), units.span(*ends))


def differences(record: Record) -> Table | None:
    """Paired differences on the same test rows, and what each interval says."""
    if not record["differences"]:
        return None
    columns = (
        Column("Comparison", numeric=False),
        Column("On", numeric=False),
        Column("Difference", "points"),
        Column("Interval", f"{LEVEL} %"),
        Column("Reading", numeric=False),
    )
    rows = tuple(_difference_row(record, item) for item in record["differences"])
    return Table("differences", "Paired differences on the same test rows", columns, rows)


def _difference_row(record: Record, item: Mapping[str, Any]) -> Row:
    ends = (units.points(item.get("low")), units.points(item.get("high")))
    says = READINGS[reading(item["low"], item["high"])] if known(item.get("low")) and known(item.get("high")) else ""
    names = f"{label(record, item['a'])} − {label(record, item['b'])}"
    return Row(
        (
            Cell(names),
            Cell(str(item.get("task", MEAN))),
            Cell(units.points(item.get("value"))),
            Cell(units.span(*ends)),
            Cell(says),
        )
    )


def data(record: Record) -> Table | None:
    """Rows and tokens of every split that the run used."""
    rows = tuple(
        Row(
            (
                Cell(str(task["name"])),
                Cell(SPLITS.get(str(split), str(split))),
                *(Cell(units.count(counts.get(name))) for name in ("rows", "tokens", "supervised", "truncated")),
            )
        )
        for task in record["tasks"]
        for split, counts in task.get("rows", {}).items()
    )
    columns = (
        Column("Task", numeric=False),
        Column("Split", numeric=False),
        Column("Rows"),
        Column("Tokens"),
        Column("Supervised", "tokens"),
        Column("Truncated", "rows"),
    )
    return Table("data", "Rows and tokens by task and split", columns, rows) if rows else None
