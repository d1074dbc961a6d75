"""The figures of a report. Needs matplotlib, which the extra `semalign[report]` installs: import this package late."""

from collections.abc import Callable

from ..record import Record
from . import alignment, benchmarks, diagnostics, layers, scores, training
from .canvas import Picture, style

DRAWINGS: dict[str, Callable[[Record], Picture | None]] = {
    "scores": scores.scores,
    "differences": scores.differences,
    "benchmarks": benchmarks.benchmarks,
    "attribution": layers.attribution,
    "pairing": layers.pairing,
    "alignment": alignment.alignment,
    "basis": layers.basis,
    "losses": training.losses,
    "cosines": training.cosines,
    "gradients": training.gradients,
    "similarity": diagnostics.similarity,
    "lens": diagnostics.lens,
    "progress": diagnostics.progress,
    "costs": training.costs,
}


def pictures(record: Record) -> dict[str, Picture]:
    """Every figure that the record has data for, by name."""
    with style():
        drawn = {name: draw(record) for name, draw in DRAWINGS.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}
