"""The tables of a comparison as text cells, for the terminal, the Markdown and the page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table as RichTable

from ..report.units import count, decimal, memory, points, seconds
from . import words
from .words import Result

TRAINED = ("control", "method")
NOBODY = "No student beats another beyond the interval."
COSTS = ("bits a byte", "trainable", "train tokens", "time", "memory")


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    lead: tuple[str, ...] = ()


def all_tables(result: Result) -> list[Table]:
    """The models outside any axis, then each axis with its conclusion, then task by task, then who beats whom."""
    axes = [axis_table(result, axis) for axis in result["axes"]]
    return [main_table(result), *axes, task_table(result), winner_table(result)]


def main_table(result: Result) -> Table:
    names = [name for name, method in result["methods"].items() if not method["axis"]]
    return Table("Models", _columns(result), [_row(result, name) for name in names])


def axis_table(result: Result, axis: str) -> Table:
    """The variants of an axis under the base."""
    names = [result["base"], *result["axes"][axis]["variants"]]
    rows = [_row(result, name) for name in names if name in result["methods"]]
    return Table(axis, _columns(result), rows, (words.conclusion(result, axis),))


def task_table(result: Result) -> Table:
    """Scores by task; `+` where a student passes the reference."""
    tasks = result["tasks"]
    columns = ("", *(f"{task}, %" for task in tasks))
    rows = [(name, *(_score(result, task, name) for task in tasks)) for name in result["methods"]]
    return Table("Tasks", columns, rows, ("A + marks a student above the teacher that gaps are measured to.",))


def winner_table(result: Result) -> Table:
    """Who beats whom on the mean of tasks beyond the interval."""
    beaten: dict[str, list[str]] = {}
    for each in result["significance"]:
        beaten.setdefault(each["better"], []).append(f"{each['worse']} ({points(each['value'])})")
    rows = [(better, ", ".join(worse)) for better, worse in beaten.items()]
    lead = "Of pairs that are truly equal chance makes one in twenty look different." if rows else NOBODY
    return Table("Who beats whom", ("better", "than, by points"), rows, (lead,))


def terminal_tables(result: Result) -> list[RichTable]:
    """What the terminal shows: scores and differences, the models first and then each axis under its conclusion."""
    found = []
    for table in all_tables(result)[:-2]:
        shown = RichTable(box=None, pad_edge=False, title=escape(table.title), title_justify="left", title_style="bold")
        shown.caption, shown.caption_justify = escape("\n".join(table.lead)), "left"
        kept = [place for place, column in enumerate(table.columns) if column not in COSTS]
        for place in kept:
            shown.add_column(escape(table.columns[place]), justify="right" if place else "left")
        for row in table.rows:
            shown.add_row(*(escape(row[place]) for place in kept))
        found.append(shown)
    return found


def _columns(result: Result) -> tuple[str, ...]:
    against = [f"against {name}" for name in _against(result)]
    return ("", "mean, %", "gap", *against, *COSTS, "seeds")


def _against(result: Result) -> list[str]:
    return list(dict.fromkeys(name for name in (result["base"], result["control"]) if name))


def _row(result: Result, name: str) -> tuple[str, ...]:
    method = result["methods"][name]
    is_trained = method["role"] in TRAINED
    return (
        words.label(result, name) + (" *" if method["budget"] else ""),
        words.share(method["mean_score"]),
        "–" if name == result["reference"] else words.share(method["mean_gap"]),
        *(words.change(words.difference(result, name, than)) if is_trained else "–" for than in _against(result)),
        decimal(method["bits_per_byte"]["value"]),
        count(method["trainable"]) if is_trained else "–",
        count(method["train_tokens"]) if is_trained else "–",
        seconds(method["seconds"]) if is_trained else "–",
        memory(method["peak_bytes"]) if is_trained else "–",
        str(len(method["seeds"])),
    )


def _score(result: Result, task: str, name: str) -> str:
    cell = result["tasks"][task][name]
    passes = result["methods"][name]["role"] in TRAINED and cell["gap"]["value"] > 0
    return words.share(cell, "score") + (" +" if passes else "")


CSV_COLUMNS = (
    "name", "axis", "label", "role", "task", "metric", "score", "low", "high", "gap", "gap_low", "gap_high",
    "bits_per_byte", "seconds", "peak_bytes", "trainable", "train_tokens", "seeds",
)  # fmt: skip


def csv_rows(result: Result) -> Iterable[Sequence[Any]]:
    """One line a model and task, and one for its mean, in [0, 1]. The gap of a task is signed, the mean's not."""
    for name, method in result["methods"].items():
        about = (name, method["axis"], method["label"], method["role"])
        costs = (method["seconds"], method["peak_bytes"], method["trainable"], method["train_tokens"])
        for task in ("mean", *result["tasks"]):
            yield (*about, task, *_numbers(result, name, task), *costs, len(method["seeds"]))


def _numbers(result: Result, name: str, task: str) -> tuple[Any, ...]:
    if task == "mean":
        method = result["methods"][name]
        score, gap = method["mean_score"], method["mean_gap"]
        return ("", *score.values(), *gap.values(), method["bits_per_byte"]["value"])
    cell = result["tasks"][task][name]
    return (cell["metric"], cell["score"], cell["low"], cell["high"], *cell["gap"].values(), cell["bits_per_byte"])
