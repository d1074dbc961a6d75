"""`semalign basis`: how good the semantic map is."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from ..config import Run
from .stages import plan


def basis_table(config: Path, overrides: Sequence[str]) -> Table:
    """Quality of the map: what of the teacher's predictions survives it."""
    table = Table("figure", "value", title="semantic map")
    for name, value in plan(Run.read(config, overrides)).quality.items():
        table.add_row(name, "-" if value is None else f"{value:.4g}")
    return table
