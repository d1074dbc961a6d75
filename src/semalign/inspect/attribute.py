"""`semalign attribute`: which teacher layers matter, how well the ranking foretells ablation, and whether it pays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ..config import Run
from ..evaluation.statistics import LEVEL
from ..progress import Reporter
from ..report import SheetTable
from ..report.units import decimal, seconds, significant, span
from .measure_attribution import check as check_attributions
from .measure_attribution import measure, order, subject
from .sheets import check_fresh, terminal, write_found
from .stages import tasks_of
from .train_attributed import compare_ends, refuse

BAR, SHORT_BAR = 24, 12  # characters: the table fits 80 columns, the second with the ablation beside it
LEFT = ("attribution", "task", "")


def attribution_tables(
    config: Path, overrides: Sequence[str], out: Path | None, *, check: bool, train: bool, reporter: Reporter
) -> list[Table]:
    """The tables for the terminal; with `out`, attribution.json and attribution.html as well."""
    check_fresh(out)
    run = Run.read(config, overrides)
    if train:
        refuse(run, tasks_of(run))
    about = subject(run, check=check)
    found = measure(run, about)
    if check:
        found["check"] = check_attributions(run, about, reporter)
    if train:
        found["training"] = compare_ends(run, found["scores"], reporter)
    tables = [ranking(found), *([foretelling(found)] if check else []), *([ends(found)] if train else [])]
    write_found(out, "attribution", found, title="Layer attribution", lead=lead, tables=tables)
    return [terminal(table, LEFT, overflow="fold") for table in tables]


def lead(found: dict[str, Any]) -> list[str]:
    """What was measured on what, and what the numbers do not say."""
    said = [
        f"Layers of {found['teacher']} by {found['attribution']} on {found['rows']} extract rows, seed "
        f"{found['seed']}. Scores compare layers of this model only."
    ]
    if "check" in found:
        said.append(
            f"Ablation: loss increase, in nats an answer token, when the layer is skipped, on {found['check']['rows']} "
            f"{found['check']['split']}, none of them scored. The rank correlation (Spearman) says how well scores "
            f"foretell it: 1 is the same order, 0 what chance gives. {LEVEL:.0%} intervals are over the ablated rows; "
            f"with {len(found['scores'])} layers a few swaps move the value much."
        )
    if "training" in found:
        part = found["training"]
        said.append(
            f"Training: {part['rows']} rows, {part['epochs']} epochs, adapters on a third of the student's "
            f"layers ({part['layers']}) a side; bits per byte of gold answers on validation rows, lower is better. "
            + verdict(part)
        )
    return said


def verdict(part: dict[str, Any]) -> str:
    """What the paired difference says, and what it cannot."""
    low, high = part["top_minus_bottom"]["all"]["low"], part["top_minus_bottom"]["all"]["high"]
    words = "The interval includes 0: no difference is shown"
    if high < 0:
        words = "The top layers did better"
    elif low > 0:
        words = "The bottom layers did better"
    shared = ", ".join(map(str, part["shared"]))
    both = f" Both sides train student layer {shared}, since teacher layers of both lead to it." if shared else ""
    return f"{words} (one training a side, so the interval is over rows and not over seeds).{both}"


def ranking(found: dict[str, Any]) -> SheetTable:
    """Teacher layers by score, highest first, with a bar and, where it was measured, the ablation."""
    scores = found["scores"]
    largest = max(map(abs, scores)) or 1.0
    ablation = found["check"]["ablation"] if "check" in found else None
    length = BAR if ablation is None else SHORT_BAR
    rows = []
    for rank, layer in enumerate(order(scores), start=1):
        bar = "█" * round(length * abs(scores[layer]) / largest)
        row = (str(rank), str(layer), significant(scores[layer]), bar)
        rows.append(row if ablation is None else (*row, decimal(ablation[layer]["value"]), _span(ablation[layer])))
    columns = ("rank", "teacher layer", "score", "")
    if ablation is not None:
        columns = (*columns, "ablation", "interval")
    return SheetTable(f"attribution by {found['attribution']}", columns, rows)


def foretelling(found: dict[str, Any]) -> SheetTable:
    """Every attribution's rank correlation with ablation, the run's own first."""
    rows = [
        (
            item["attribution"],
            str(order(item["scores"])[0]) if item["rank_correlation"] else "–",
            decimal((item["rank_correlation"] or {}).get("value"), 2),
            _span(item["rank_correlation"], 2),
            seconds(item["seconds"]),
        )
        for item in found["check"]["attributions"]
    ]
    return SheetTable(
        "which ranking foretells single-layer ablation",
        ("attribution", "first", "correlation", "interval", "time"),
        rows,
    )


def ends(found: dict[str, Any]) -> SheetTable:
    """Bits per byte of the untouched student and of the two trained ones, and the paired difference, by task."""
    part = found["training"]
    students = list(part["bits_per_byte"])
    rows = [
        (
            task,
            *(decimal(part["bits_per_byte"][student][task]["value"]) for student in students),
            decimal(difference["value"], 4),
            _span(difference, 4),
        )
        for task, difference in part["top_minus_bottom"].items()
    ]
    trained = "; ".join(f"{side}: {', '.join(map(str, part['sides'][side]['student']))}" for side in part["sides"])
    return SheetTable(
        f"bits per byte after training some student layers ({trained})",
        ("task", *students, "top − bottom", "interval"),
        rows,
    )


def _span(item: dict[str, float] | None, digits: int = 3) -> str:
    return span(decimal(item["low"], digits), decimal(item["high"], digits)) if item else ""
