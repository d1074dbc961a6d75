"""Do the controls tell what the method's parts did."""

from collections.abc import Iterator

from ..config import Run
from ..report.start import unshared_start
from .finding import Finding


def examine_controls(run: Run) -> Iterator[Finding]:
    if unshared_start({name: method.spec() for name, method in run.methods.items()}, run.method.name):
        yield Finding(
            "note",
            "the method starts LoRA at the principal part of the student's weights, and no control does: part of its "
            "gain may be that start and not the alignment",
            "controls",
            "add 'pissa' to the controls",
        )
