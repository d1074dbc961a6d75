"""`semalign basis`: how good the semantic map is, with its controls, and every other map on the same pair."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ..config import Run
from ..progress import Reporter
from ..report import SheetTable
from ..report.units import decimal, significant
from .measure_basis import measure
from .sheets import check_fresh, layer_mix, terminal, write_found

PAIR_COLUMNS = {
    "explained_variance": "explained",
    "explained_scaled": "best scale",
    "cosine": "cosine",
    "cka_before": "CKA before",
    "cka_after": "CKA after",
    "lens_top1": "lens top-1",
    "lens_top5": "lens top-5",
    "lens_correlation": "lens corr.",
}
FINAL_COLUMNS = {"agreement_top1": "top-1", "agreement_top5": "top-5", "row_correlation": "corr."}


def basis_tables(
    config: Path, overrides: Sequence[str], out: Path | None, reporter: Reporter | None = None
) -> list[Table]:
    """The tables for the terminal; with `out`, basis.json and basis.html as well."""
    check_fresh(out)
    found = measure(Run.read(config, overrides), reporter)
    tables = sheet_tables(found)
    write_found(out, "basis", found, title="Semantic maps", lead=lead, tables=tables)
    return [terminal(table, (table.columns[0], "recovers")) for table in tables]


def lead(found: dict[str, Any]) -> list[str]:
    """What was measured on what, and what the numbers do not say."""
    rows = found["rows"]
    return [
        f"Teacher {found['teacher']}, student {found['student']}, site {found['site']}, basis {found['basis']}: maps "
        f"are fitted on {found['tokens']} shared tokens or {rows['fitted']} calibration rows and measured at the "
        f"answer positions of {rows['measured']} extract rows.",
        "Explained: share of the variance of the untouched student's states that the mapped teacher states account "
        "for, as they are and after the best scale and shift. Lens: agreement of the mapped state, read by the "
        "student's final norm and head, with the teacher's state, read by the teacher's. Top-1, top-5, corr.: the same "
        "at the final state, where maps of states are fitted anew.",
        "Reconstruction proves nothing alone: random bases come close to 1 wherever there are many more tokens than "
        "dimensions.",
    ]


def sheet_tables(found: dict[str, Any]) -> list[SheetTable]:
    """The map in use at the final state, pair by pair, reconstruction by layer, and all maps side by side."""
    final = [(name, significant(value)) for name, value in found["final"].items()]
    pairs = [
        (str(pair["student"]), layer_mix(pair["teacher"]), *(decimal(pair[name]) for name in PAIR_COLUMNS))
        for pair in found["pairs"]
    ]
    return [
        SheetTable(f"semantic map: {found['basis']}", ("figure", "value"), final),
        SheetTable("at each pair", ("student", "teacher", *PAIR_COLUMNS.values()), pairs),
        *(_reconstruction(side, curves) for side, curves in found["reconstruction"].items()),
        _comparison(found["maps"]),
    ]


def _reconstruction(side: str, curves: dict[str, list[float]]) -> SheetTable:
    layers = zip(*curves.values(), strict=True)
    rows = [(str(layer), *(decimal(value) for value in values)) for layer, values in enumerate(layers)]
    return SheetTable(f"reconstruction cosine in the {side}", ("layer", *curves), rows)


def _comparison(maps: Sequence[dict[str, Any]]) -> SheetTable:
    names = {**FINAL_COLUMNS, **{name: title for name, title in PAIR_COLUMNS.items() if name != "cka_before"}}
    rows = [
        (row["basis"], *(decimal(row.get(name)) for name in names), row["refused"] or row["recovers"]) for row in maps
    ]
    return SheetTable("every map on this pair (means over pairs)", ("map", *names.values(), "recovers"), rows)
