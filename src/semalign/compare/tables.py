"""The tables of a comparison as text cells, for the terminal, the Markdown and the page."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from rich.markup import escape
from rich.table import Table as RichTable

from ..report.units import count, decimal, memory, points, seconds
from . import words
from .collect import TRAINED
from .words import Result

NOBODY = "No student beats another beyond the interval."
COSTS = ("trainable", "train tokens", "teacher tokens", "time", "memory")
ABOVE = "A + marks a student above the teacher that gaps are measured to."
Cell = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    lead: tuple[str, ...] = ()


def all_tables(result: Result) -> list[Table]:
    """The models, what they cost, then task by task, then who beats whom."""
    parts = [*model_tables(result), *benchmark_tables(result), cost_table(result), *task_tables(result)]
    return [*parts, winner_table(result)]


def model_tables(result: Result) -> list[Table]:
    """The recommended method against each other one, the models of no axis, then each axis with its conclusion."""
    first = [answer_table(result)] if result["answer"] else []
    return [*first, main_table(result), *(axis_table(result, axis) for axis in result["axes"])]


def answer_table(result: Result) -> Table:
    """The recommended method minus each other student."""
    found = result["answer"]
    rows = [
        (name, words.change(each["score"]), words.change(each["closeness"]), str(each["seeds"]))
        for name, each in found["against"].items()
    ]
    lead = "Above 0 its score is higher; below 0 it is closer to the teacher."
    return Table(f"{found['recommended']} minus each other", ("", "score", "closeness", "seeds"), rows, (lead,))


def main_table(result: Result) -> Table:
    names = [name for name, method in result["methods"].items() if not method["axis"]]
    return Table("Models", _columns(result), [_row(result, name) for name in names])


def axis_table(result: Result, axis: str) -> Table:
    """The variants of an axis under the base."""
    names = [result["base"], *result["axes"][axis]["variants"]]
    rows = [_row(result, name) for name in names if name in result["methods"]]
    return Table(axis, _columns(result), rows, (words.conclusion(result, axis),))


def benchmark_tables(result: Result) -> list[Table]:
    """Every model on the benchmarks, and each trained student minus the student before; none where none were asked."""
    found = result["benchmarks"]
    if not found:
        return []
    asked = ", ".join(f"{task} {next(iter(row.values()))['rows']} rows" for task, row in found.items())
    trained = [name for name, method in result["methods"].items() if method["role"] in TRAINED]
    scores = [(name, *(words.share(row[name], "score") for row in found.values())) for name in result["methods"]]
    changes = [(name, *(words.change(row[name]["change"]) for row in found.values())) for name in trained]
    return [
        Table("Benchmarks, %", ("", *found), scores, (f"Asked: {asked}.",)),
        Table("Benchmarks: minus the student before, points", ("", *found), changes),
    ]


def cost_table(result: Result) -> Table:
    """What planning and training took; a mean over seeds, the peak the highest."""
    return Table("Costs", ("", *COSTS), [_cost_row(result, name) for name in result["methods"]])


def task_tables(result: Result) -> list[Table]:
    """Task by task: scores, signed gaps, closeness and bits per byte."""
    return [
        _by_task(result, "Scores by task, %", lambda cell: words.share(cell, "score"), marked=True),
        _by_task(result, "Gaps to the teacher by task, points", lambda cell: words.change(cell["gap"])),
        _by_task(result, "Closeness to the teacher by task, points", lambda cell: words.share(cell["closeness"])),
        _by_task(result, "Bits per byte of gold answers by task", lambda cell: decimal(cell["bits_per_byte"])),
    ]


def _by_task(result: Result, title: str, shown: Cell, *, marked: bool = False) -> Table:
    tasks = result["tasks"]
    rows = [
        (
            name,
            *(shown(tasks[task][name]) + (" +" if marked and task in passed(result, name) else "") for task in tasks),
        )
        for name in result["methods"]
    ]
    return Table(title, ("", *tasks), rows, (ABOVE,) if marked else ())


def passed(result: Result, name: str) -> list[str]:
    """Tasks on which a trained student passes the teacher."""
    method = result["methods"][name]
    return method["overshoots"] if method["role"] in TRAINED else []


def winner_table(result: Result) -> Table:
    """Who beats whom on the mean of tasks beyond the interval."""
    beaten: dict[str, list[str]] = {}
    for each in result["significance"]:
        beaten.setdefault(each["better"], []).append(f"{each['worse']} ({points(each['value'])})")
    rows = [(better, ", ".join(worse)) for better, worse in beaten.items()]
    lead = "Of pairs that are truly equal chance makes one in twenty look different." if rows else NOBODY
    return Table("Who beats whom", ("better", "than, by points"), rows, (lead,))


def terminal_tables(result: Result) -> list[RichTable]:
    """What the terminal shows: scores and differences, what they cost, and without axes the scores and gaps by task."""
    per_task = [] if result["axes"] else [cost_table(result), *task_tables(result)[:2]]
    return [_terminal(table) for table in (*model_tables(result), *benchmark_tables(result), *per_task)]


def _terminal(table: Table) -> RichTable:
    shown = RichTable(box=None, pad_edge=False, title=escape(table.title), title_justify="left", title_style="bold")
    shown.caption, shown.caption_justify = escape("\n".join(table.lead)), "left"
    for place, column in enumerate(table.columns):
        cells = [row[place] for row in table.rows]
        # names and single numbers are kept whole; where there is no room, intervals wrap
        is_short = not any(" (" in cell for cell in cells)
        shown.add_column(escape(column), justify="right" if place else "left", no_wrap=is_short)
    for row in table.rows:
        shown.add_row(*map(escape, row))
    return shown


def _columns(result: Result) -> tuple[str, ...]:
    against = [f"against {name}" for name in _against(result)]
    return ("", "mean, %", "gap to teacher", "closeness", *against, "bits a byte", "seeds")


def _against(result: Result) -> list[str]:
    """What the table of models takes differences to; those to a recommended method have a table of their own."""
    if result["answer"]:
        return [result["control"]] if result["control"] else []
    return list(dict.fromkeys(name for name in (result["base"], result["control"]) if name))


def _row(result: Result, name: str) -> tuple[str, ...]:
    method = result["methods"][name]
    is_trained, is_reference = method["role"] in TRAINED, name == result["reference"]
    return (
        words.label(result, name) + (" *" if method["budget"] else ""),
        words.share(method["mean_score"]),
        words.change(None if is_reference else method["signed_gap"]),
        "–" if is_reference else words.share(method["mean_gap"]),
        *(words.change(words.difference(result, name, than)) if is_trained else "–" for than in _against(result)),
        decimal(method["bits_per_byte"]["value"]),
        str(len(method["seeds"])),
    )


def _cost_row(result: Result, name: str) -> tuple[str, ...]:
    method = result["methods"][name]
    if method["role"] not in TRAINED:
        return (name, *["–"] * len(COSTS))
    return (
        name,
        count(method["trainable"]),
        count(method["train_tokens"]),
        count(method["teacher_tokens"]),
        seconds(method["seconds"]),
        memory(method["peak_bytes"]),
    )


COST_FACTS = ("seconds", "peak_bytes", "trainable", "train_tokens", "teacher_tokens")
CSV_COLUMNS = (
    "name", "axis", "label", "role", "task", "metric", "score", "low", "high", "gap", "gap_low", "gap_high",
    "closeness", "closeness_low", "closeness_high", "bits_per_byte", *COST_FACTS, "seeds",
)  # fmt: skip


def csv_rows(result: Result) -> Iterable[Sequence[Any]]:
    """One line a model and task, and one for its mean, in [0, 1]. Gaps are signed, closeness is not."""
    for name, method in result["methods"].items():
        about = (name, method["axis"], method["label"], method["role"])
        costs = [method[fact] for fact in COST_FACTS]
        for task in ("mean", *result["tasks"]):
            yield (*about, task, *_numbers(result, name, task), *costs, len(method["seeds"]))


def _numbers(result: Result, name: str, task: str) -> tuple[Any, ...]:
    if task == "mean":
        method = result["methods"][name]
        intervals = [method[part].values() for part in ("mean_score", "signed_gap", "mean_gap")]
        return ("", *chain(*intervals), method["bits_per_byte"]["value"])
    cell = result["tasks"][task][name]
    score = (cell["metric"], cell["score"], cell["low"], cell["high"])
    return (*score, *cell["gap"].values(), *cell["closeness"].values(), cell["bits_per_byte"])
