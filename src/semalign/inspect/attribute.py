"""`semalign attribute`: which teacher layers matter."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from ..config import Run
from .stages import attribution_of, teacher_rows


def attribution_table(config: Path, overrides: Sequence[str]) -> Table:
    """Teacher layers by score, highest first."""
    run = Run.read(config, overrides)
    attribution = attribution_of(run)
    scores = attribution.score(*teacher_rows(run)).tolist()
    table = Table(title=f"attribution by {attribution.name}")
    for column in ("rank", "teacher layer", "score"):
        table.add_column(column, justify="right")
    for rank, layer in enumerate(sorted(range(len(scores)), key=lambda i: -scores[i]), start=1):
        table.add_row(str(rank), str(layer), f"{scores[layer]:.4g}")
    return table
