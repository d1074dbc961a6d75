"""The benchmarks of a run as tables: every model before and after, and what changed on the same rows."""

from collections.abc import Mapping
from typing import Any

from . import units
from .record import LEVEL, MEAN, Record, label, models
from .tables import Cell, Column, Row, Table


def scores(record: Record) -> Table | None:
    """Each model's score by benchmark with standard error and interval, and how the benchmarks were asked."""
    found = record["benchmarks"]
    if not found:
        return None
    tasks = found["tasks"]
    columns = (
        Column("Model", numeric=False),
        *(Column(task, f"{about['metric'].replace('_', ' ')}, %") for task, about in tasks.items()),
        *((Column("Mean", "%"),) if _n_benchmark(tasks) > 1 else ()),
    )
    rows = tuple(_row(found, model) for model in models(record))
    return Table("benchmarks", "Benchmarks before and after", columns, rows, (_asked(found), *_rows_asked(tasks)))


def differences(record: Record) -> Table | None:
    """Trained minus before, and the method minus each control, on the same rows."""
    found = record["benchmarks"]
    if not found:
        return None
    tasks = [*found["tasks"], *((MEAN,) if _n_benchmark(found["tasks"]) > 1 else ())]
    by_pair: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for item in found["differences"]:
        by_pair.setdefault((item["a"], item["b"]), {})[item["task"]] = item
    rows = tuple(
        Row(
            (
                Cell(f"{label(record, a)} − {label(record, b)}"),
                *(_change(items[task]) for task in tasks),
            )
        )
        for (a, b), items in by_pair.items()
    )
    columns = (Column("Comparison", numeric=False), *(Column(task, "points") for task in tasks))
    return Table("benchmark-differences", "Paired differences on the same benchmark rows", columns, rows)


def _row(found: Mapping[str, Any], model: Mapping[str, Any]) -> Row:
    key, name, role = model["key"], str(model["label"]), str(model["role"])
    cells = [_cell(about["scores"].get(key) or {}) for about in found["tasks"].values()]
    if _n_benchmark(found["tasks"]) > 1:
        mean = found["mean_score"].get(key) or {}
        cells.append(_cell({**mean, "score": mean.get("value")}))
    return Row((Cell(name, "" if role in name else role), *cells), role)


def _cell(values: Mapping[str, Any]) -> Cell:
    error = f" ± {units.percent(values['standard_error'])}" if "standard_error" in values else ""
    ends = (units.percent(values.get(end)) for end in ("low", "high"))
    return Cell(f"{units.percent(values.get('score'))}{error}", units.span(*ends))


def _change(item: Mapping[str, Any]) -> Cell:
    return Cell(units.points(item["value"]), units.span(*(units.points(item[end]) for end in ("low", "high"))))


def _asked(found: Mapping[str, Any]) -> str:
    protocol = {"lm-eval": "lm-eval's own tasks", "paper": "the paper's protocol"}[found["protocol"]]
    return f"Asked by {protocol}, {found['template']} template. ± is the standard error, intervals are at {LEVEL} %."


def _n_benchmark(tasks: Mapping[str, Mapping[str, Any]]) -> int:
    """How many benchmarks there are: pass@k of one is not one more."""
    return sum(map(_is_benchmark, tasks, tasks.values()))


def _is_benchmark(task: str, about: Mapping[str, Any]) -> bool:
    return about.get("benchmark", task) == task


def _rows_asked(tasks: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(
        f"{task}: {_examples(about['few_shot'])}, {about['sampling']}{_drawn(about.get('draws'))}."
        for task, about in tasks.items()
        if _is_benchmark(task, about)
    )


def _drawn(draws: Mapping[str, Any] | None) -> str:
    if not draws or (draws["count"] == 1 and not draws["temperature"]):
        return ""
    return f", {draws['count']} answers to each prompt at temperature {draws['temperature']:g}"


def _examples(n: int) -> str:
    return f"{n or 'no'} solved example{'' if n == 1 else 's'} in the prompt"
