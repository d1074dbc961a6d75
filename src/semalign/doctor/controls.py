"""Do the controls tell what the method's parts did."""

from collections.abc import Iterator

from ..config import Run
from ..report.start import unshared_start
from ..report.trained_on import unshared_answers
from .finding import Finding


def examine_controls(run: Run) -> Iterator[Finding]:
    specs = {name: method.spec() for name, method in run.methods.items()}
    if unshared_answers(specs, run.method.name):
        answers = specs[run.method.name]["answers"]
        yield Finding(
            "note",
            "the method is trained on answers that the teacher writes, and no control is: part of its gain may be "
            "those answers and not the method",
            "controls",
            f"add 'sft' with 'answers: {answers}' to the controls",
        )
    if unshared_start(specs, run.method.name):
        yield Finding(
            "note",
            "the method starts LoRA at the principal part of the student's weights, and no control does: part of its "
            "gain may be that start and not the alignment",
            "controls",
            "add 'pissa' to the controls",
        )
