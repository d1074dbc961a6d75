"""Pictures of `semalign pair`: the similarity of layers with the chosen path over it, and the paths of all pairings."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..units import decimal
from .canvas import AMBER, PAPER, Picture, panels, picture, plain, style
from .heat import heat, scale, span_of

Values = Sequence[Sequence[float]]
Path = Sequence[Sequence[float]]


def pictures(found: dict[str, Any]) -> list[Picture]:
    """The pairing of the configuration, then all of them."""
    with style():
        return [chosen(found), every(found)]


def chosen(found: dict[str, Any]) -> Picture:
    """CKA of every student layer with every teacher layer; dots are pairs, joined in the order of student layers."""
    values = found["similarity"]
    rows, columns = len(values), len(values[0])
    figure, (panel,) = panels(1, min(max(5.6 * rows / columns, 2.0), 6.0) + 1.1, 1, width=7.2)
    _map(panel, values, found["pairings"][0]["pairs"], size=7)
    panel.set(xlabel="teacher layer", ylabel="student layer", title=plain(found["pairing"], 60))
    figure.legend(handles=[*scale(span_of([values])), _mark()], loc="outside upper left", ncols=6)
    low, high = min(map(min, values)), max(map(max, values))
    words = "; ".join(
        f"student {pair['student']} with teacher {' and '.join(str(item['layer']) for item in pair['teacher'])}: "
        f"{decimal(pair['cka'])}"
        for pair in found["pairs"]
    )
    text = (
        f"Linear CKA of states at answer tokens before training, {decimal(low, 2)} to {decimal(high, 2)}: the darker, "
        "the more alike. Dots are the pairs."
    )
    return picture("chosen", "Which layers are alike, and which are paired", text, f"{words}.", figure)


def every(found: dict[str, Any]) -> Picture:
    """The same map once for each pairing."""
    values = found["similarity"]
    shown = [row for row in found["pairings"] if not row["refused"]]
    height = min(max(2.2 * len(values) / len(values[0]), 0.8), 2.4) + 0.6
    figure, axes = panels(len(shown), height, 4, sharex=True, sharey=True)
    for panel, row in zip(axes, shown, strict=True):
        _map(panel, values, row["pairs"], size=3.5)
        panel.set_title(plain(row["pairing"]), fontsize=9)
    figure.supxlabel("teacher layer", fontsize=9.5)
    figure.supylabel("student layer", fontsize=9.5)
    words = "; ".join(f"{row['pairing']} {decimal(row['mean_cka'])}" for row in shown)
    text = "The pairs of every pairing on the same similarity; the first is the configuration's."
    return picture("every", "What each pairing chooses", text, f"Mean CKA: {words}.", figure)


def _map(panel: Axes, values: Values, path: Path, *, size: float) -> None:
    heat(panel, values, span=span_of([values]))
    students, teachers = [student for student, _ in path], [teacher for _, teacher in path]
    panel.plot(teachers, students, color=PAPER, linewidth=3)
    panel.plot(
        teachers,
        students,
        "-o",
        color=AMBER,
        linewidth=1.6,
        markersize=size,
        markeredgecolor=PAPER,
        markeredgewidth=0.8,
    )


def _mark() -> Line2D:
    return Line2D([], [], color=AMBER, marker="o", markeredgecolor=PAPER, label="paired layers")
