"""The table that ends a run in the terminal: who scores what, for a reader who sees it for the first time."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from . import benchmarked, units
from .record import LEVEL, Record, complete, known, likelihood_tasks, mean, models, score, scored_tasks, the_teacher

STYLES = {"before": "", "control": "yellow", "method": "bold cyan", "teacher": "green"}


def terminal_table(record: Mapping[str, Any]) -> Table:
    """Models as rows, tasks as columns; percent correct, and under it the interval."""
    full = complete(record)
    tasks = scored_tasks(full)
    likelihood = likelihood_tasks(full)
    title = "Scores on held-out test rows, in %" if likelihood else "Held-out test rows answered correctly, in %"
    table = Table(box=SIMPLE_HEAD, title=title, title_style="bold", title_justify="left", min_width=72)
    table.caption = Text(
        f"Below each score its {LEVEL} % interval. Gap: mean distance to {the_teacher(full)} in points, smaller is "
        "closer (being above it counts too)."
        + (
            f" The gold answer's probability a byte, not correct answers: {', '.join(likelihood)}."
            if likelihood
            else ""
        )
    )
    table.caption_justify = "left"
    table.add_column("")
    for name in (*tasks, "mean", "gap"):
        table.add_column(Text(name), justify="right", overflow="fold")
    for model in models(full):
        table.add_row(*_row(full, tasks, model), style=STYLES.get(model["role"], ""))
    return table


def benchmark_table(record: Mapping[str, Any]) -> Table | None:
    """Models as rows, benchmarks as columns, with standard errors; None where the run asked no benchmarks."""
    full = complete(record)
    found = benchmarked.scores(full)
    if found is None:
        return None
    table = Table(box=SIMPLE_HEAD, title=f"{found.caption}, in %", title_style="bold", title_justify="left")
    for column in found.columns:
        table.add_column(Text(column.title if column.numeric else ""), justify="right" if column.numeric else "left")
    for row in found.rows:
        table.add_row(*(Text(cell.text) for cell in row.cells), style=STYLES.get(row.role, ""))
    table.caption, table.caption_justify = Text("\n".join(found.notes)), "left"
    return table


def _row(record: Record, tasks: list[str], model: Mapping[str, Any]) -> list[Text]:
    key = model["key"]
    cells = [_cell(score(record, task, key), "score") for task in tasks]
    gap = mean(record, "mean_gap", key)
    return [Text(str(model["label"])), *cells, _cell(mean(record, "mean_score", key), "value"), _cell(gap, "value")]


def _cell(values: Mapping[str, Any], name: str) -> Text:
    cell = Text(units.percent(values.get(name)))
    low, high = values.get("low"), values.get("high")
    if not (known(low) and known(high)):
        return cell
    digits = 0 if high - low > 0.03 else 1  # whole points fit 80 columns, narrow intervals need more
    return cell.append(f"\n{100 * low:.{digits}f}–{100 * high:.{digits}f}", style="dim")
