"""`semalign pair`: which teacher layer teaches which student layer, and why."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from ..config import Run
from .stages import plan


def pairing_table(config: Path, overrides: Sequence[str]) -> Table:
    """Pairs and their reasons."""
    table = Table(title="pairing")
    for column in ("student layer", "teacher layer", "reason"):
        table.add_column(column)
    for pair in plan(Run.read(config, overrides)).pairs:
        layers = " + ".join(f"{weight:.2g} x {layer}" if weight < 1 else str(layer) for layer, weight in pair.teacher)
        table.add_row(str(pair.student), layers, pair.reason)
    return table
