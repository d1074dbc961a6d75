"""The figure of the benchmarks: every model, before and after."""

from ..record import LEVEL, Record, models
from ..units import percent
from .canvas import Picture, panels, picture, plain
from .scores import dots

TEACHER = "teacher"


def benchmarks(record: Record) -> Picture | None:
    """One panel a benchmark and pass@k; a dot and its interval for each model, a line at the teacher."""
    found = record["benchmarks"]
    if not found:
        return None
    tasks = found["tasks"]
    figure, axes = panels(len(tasks), 0.27 * len(models(record)) + 1.0, 5, sharey=True)
    for panel, (task, about) in zip(axes, tasks.items(), strict=True):
        dots(panel, record, about["scores"], TEACHER)
        panel.set(title=plain(task, 78 // min(len(tasks), 5)), xlabel="score (%)")
    words = ", ".join(
        f"{task} {' to '.join(percent(about['scores'][key]['score']) for key in ('student', TEACHER))} %"
        for task, about in tasks.items()
    )
    text = f"A dot for each model in each benchmark, with its {LEVEL} % interval; the dotted line is the teacher."
    words = f"From student before to teacher: {words}."
    return picture("benchmarks", "Benchmarks before and after", text, words, figure)
