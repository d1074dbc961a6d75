"""`semalign pair`: which teacher layer teaches which student layer, why, and what every other pairing would choose."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ..config import Run
from ..progress import Reporter
from ..report import SheetTable
from ..report.units import decimal
from .measure_pairing import measure
from .sheets import check_fresh, layer_mix, terminal, write_found

LEFT = ("pairing", "reason", "uses")


def pairing_tables(
    config: Path, overrides: Sequence[str], out: Path | None, reporter: Reporter | None = None
) -> list[Table]:
    """The tables for the terminal; with `out`, pairing.json and pairing.html as well."""
    check_fresh(out)
    found = measure(Run.read(config, overrides), reporter)
    tables = [pairs_table(found), comparison(found)]
    write_found(out, "pairing", found, title="Layer pairing", lead=lead, tables=tables)
    return [terminal(table, LEFT) for table in tables]


def lead(found: dict[str, Any]) -> list[str]:
    """What was measured on what, and what the numbers do not say."""
    teacher, student, n = found["teacher"], found["student"], found["positions"]
    said = [
        f"Teacher {teacher['name']}, student {student['name']}, site {found['site']}: {found['pairing']} gives "
        f"{len(found['pairs'])} pairs. CKA is linear CKA of the untouched models' states at {n} answer tokens of the "
        "extract rows: 0 is unrelated, 1 is equal up to rotation, scale and shift.",
        "A high CKA says that two layers hold alike states before training. It does not say that the pair is worth "
        "training on; that takes runs (semalign sweep over method.pairing) beside random and reverse.",
    ]
    if n < max(teacher["width"], student["width"]):
        said.append(
            f"With {n} positions in up to {max(teacher['width'], student['width'])} dimensions CKA is high also for "
            "unrelated states; compare layers, not values."
        )
    if found["attention"] is None:
        said.append(f"Attention patterns were not compared: {found['attention_left_out']}.")
    else:
        said.append(
            "Attention is how alike two layers look at the text, 0 to 1: of every student head the most similar "
            "teacher head (Bhattacharyya coefficient, first token left out), averaged. Over all layers with all "
            f"layers it is {decimal(found['attention']['mean'])}: what a pair has beyond that is its own."
        )
    return said


def pairs_table(found: dict[str, Any]) -> SheetTable:
    """The pairs of the configuration's pairing."""
    rows = [
        (
            str(pair["student"]),
            layer_mix(pair["teacher"]),
            decimal(pair["cka"]),
            "–" if pair["attention"] is None else decimal(pair["attention"]),
            pair["reason"],
        )
        for pair in found["pairs"]
    ]
    columns = ("student layer", "teacher layer", "CKA", "attention", "reason")
    return SheetTable(f"pairing: {found['pairing']}", columns, rows)


def comparison(found: dict[str, Any]) -> SheetTable:
    """All pairings on the same similarity; the configuration's stands first."""
    columns = ("pairing", "pairs", "teachers", "in order", "mean CKA", "lowest", "uses")
    return SheetTable("every pairing on the same layers", columns, [_line(row) for row in found["pairings"]])


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    if row["refused"]:
        return (row["pairing"], *("–",) * 5, row["refused"])
    numbers = (str(len(row["pairs"])), str(row["n_teacher"]), "yes" if row["in_order"] else "no")
    return (row["pairing"], *numbers, decimal(row["mean_cka"]), decimal(row["lowest_cka"]), ", ".join(row["uses"]))
