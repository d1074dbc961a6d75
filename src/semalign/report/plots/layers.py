"""Figures of the choice of layers: attribution bars, the pairing picture, the quality of the basis."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..record import Number, Record, known
from ..units import decimal, significant
from .canvas import BLUE, DASHES, GREEN, GRID, INK, MUTED, PAPER, SERIES, Picture, panels, picture, plain
from .readings import say

CLAIM = 0.9  # the paper's own figure for the recomposition of a state, arXiv:2510.24208, Fig. 2

_CLAIM_LINE: dict[str, Any] = {"color": MUTED, "linewidth": 1, "linestyle": (0, (1, 3))}


def attribution(record: Record) -> Picture | None:
    """A bar for each teacher layer; the ones that teach are filled."""
    part = record["attribution"]
    if not part or not part["scores"]:
        return None
    values = [value if known(value) else 0.0 for value in part["scores"]]
    taught = _teaching(record)
    figure, (panel,) = panels(1, 2.5, 1)
    panel.bar(
        range(len(values)),
        values,
        width=0.72,
        color=[BLUE if i in taught else GRID for i in range(len(values))],
        edgecolor=BLUE,
        linewidth=0.8,
    )
    for layer, value in enumerate(values):
        role = ", teaches" if layer in taught else ""
        say(panel, layer, value, f"teacher layer {layer}: {significant(value)}{role}")
    panel.set_xticks(range(0, len(values), max(1, len(values) // 20)))
    panel.grid(axis="x", visible=False)
    panel.set(
        xlabel="teacher layer (0 is the first block)",
        ylabel="attribution score\n(per row)",
        xlim=(-0.7, len(values) - 0.3),
    )
    if taught:
        marks = [
            Patch(facecolor=BLUE, edgecolor=BLUE, label="teaches a student layer"),
            Patch(facecolor=GRID, edgecolor=BLUE, label="not used"),
        ]
        panel.legend(handles=marks, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    panel.set_title(plain(part["name"].replace("_", " "), 40))
    top = max(range(len(values)), key=values.__getitem__)
    text = f"How much each teacher layer matters for the answers of {part.get('rows', 'the')} rows."
    best = f"The highest of {len(values)} is layer {top} ({significant(values[top])})."
    return picture("attribution", "Which teacher layers matter", f"{text} {best}", "", figure)


def _teaching(record: Record) -> set[int]:
    part = record["pairing"] or {"pairs": ()}
    pairs = () if "teacher" in part.get("encoders", ()) else part["pairs"]
    return {item["layer"] for pair in pairs for item in pair["teacher"]}


def pairing(record: Record) -> Picture | None:
    """Teacher and student as columns of layers, deepest on top; a line for each pair, with its weight where shared."""
    part = record["pairing"]
    if not part or not part["pairs"]:
        return None
    n_student, n_teacher = part["n_student"], part["n_teacher"]
    figure, (panel,) = panels(1, min(max(2.6, 0.24 * max(n_student, n_teacher) + 1), 11), 1, width=7.2)
    height = max(n_student, n_teacher)
    at_teacher, at_student = _heights(n_teacher, height), _heights(n_student, height)
    for pair in part["pairs"]:
        for item in pair["teacher"]:
            low, high = at_teacher[item["layer"]], at_student[pair["student"]]
            _link(panel, low, high, item.get("weight", 1.0))
            say(panel, 0.5, (low + high) / 2, _pair_words(pair, item))
    taught = {item["layer"] for pair in part["pairs"] for item in pair["teacher"]}
    _column(panel, 0.0, at_teacher, taught, GREEN)
    _column(panel, 1.0, at_student, {pair["student"] for pair in part["pairs"]}, BLUE)
    if "teacher" not in part.get("encoders", ()) and _bars(panel, record, at_teacher):
        panel.text(-0.57, height + 0.2, "attribution", color=MUTED)
    panel.set_axis_off()
    panel.set(xlim=(-0.62, 1.3), ylim=(-0.8, height + 0.9))
    for x, side, count in ((0, "teacher", n_teacher), (1, "student", n_student)):
        name = f"{side}'s encoder" if side in part.get("encoders", ()) else side
        panel.text(x, height + 0.2, f"{name}: {count} layers", ha="center", weight="bold")
    words = "; ".join(f"student {pair['student']} from teacher {_words(pair['teacher'])}" for pair in part["pairs"])
    text = (
        "Depth grows upwards; layers that are not filled take no part; a number is the weight of one of two teachers."
    )
    return picture("pairing", "Which layer teaches which", text, f"{words}.", figure)


def _pair_words(pair: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    cka = f", CKA {decimal(pair['similarity'])} before training" if known(pair.get("similarity")) else ""
    weight = decimal(item.get("weight", 1), 2)
    return f"teacher layer {item['layer']} teaches student layer {pair['student']} (weight {weight}){cka}"


def _words(teacher: list[dict[str, Any]]) -> str:
    return " and ".join(f"{item['layer']} (weight {decimal(item.get('weight', 1), 2)})" for item in teacher)


def _heights(count: int, height: int) -> list[float]:
    """Layers spread over the same height in both models, so that equal relative depth is level."""
    return [(layer + 0.5) * height / count for layer in range(count)]


def _link(panel: Axes, low: float, high: float, weight: float | int) -> None:
    panel.plot(
        [0, 1], [low, high], color=INK, linewidth=0.8 + 1.4 * weight, alpha=0.25 + 0.6 * weight, solid_capstyle="butt"
    )
    if weight < 1:
        box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}
        panel.text(0.36, low + 0.36 * (high - low), f"{weight:.2f}", ha="center", va="center", fontsize=8.5, bbox=box)


def _column(panel: Axes, x: float, heights: list[float], used: set[int], colour: str) -> None:
    step = heights[1] - heights[0] if len(heights) > 1 else 1.0
    size = min(9.0, 300 * step / (len(heights) * step))
    for layer, y in enumerate(heights):
        panel.plot(
            [x],
            [y],
            "s",
            markersize=size,
            color=colour if layer in used else MUTED,
            markerfacecolor=colour if layer in used else PAPER,
        )
        if len(heights) <= 16 or layer in used or layer % 4 == 0:
            panel.text(
                x + (0.05 if x else -0.05), y, str(layer), ha="left" if x else "right", va="center", fontsize=8.5
            )


def _bars(panel: Axes, record: Record, heights: list[float]) -> bool:
    """Attribution beside the teacher's layers; False where there is none for these layers."""
    part = record["attribution"]
    if not part or len(part["scores"]) != len(heights):
        return False
    values = [abs(value) if known(value) else 0.0 for value in part["scores"]]
    longest = max(values) or 1.0
    thick = 0.6 * (heights[1] - heights[0] if len(heights) > 1 else 1.0)
    panel.barh(heights, [-0.4 * value / longest for value in values], height=thick, left=-0.16, color=GREEN, alpha=0.35)
    return True


def basis(record: Record) -> Picture | None:
    """Fig. 2 of the paper with its controls: a panel for each model and site, a line for each kind of basis."""
    found = [_split(curve) for curve in (record["basis"] or {}).get("curves") or []]
    if not found:
        return None
    places = list(dict.fromkeys(place for place, _, _ in found))
    kinds = list(dict.fromkeys(kind for _, kind, _ in found))
    figure, axes = panels(len(places), 2.7, 3, sharey=True)
    for panel, place in zip(axes, places, strict=True):
        for kind, values in ((kind, values) for other, kind, values in found if other == place):
            panel.plot(range(len(values)), values, label=plain(kind), **_line(kinds.index(kind)))
        panel.axhline(CLAIM, **_CLAIM_LINE)
        panel.set(title=plain(place), xlabel="layer")
        panel.set_ylim(min(0.0, panel.get_ylim()[0]), 1.04)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("cosine (1 is lossless)")
    marks = [Line2D([], [], label=plain(kind), **_line(index)) for index, kind in enumerate(kinds)]
    marks.append(Line2D([], [], label="0.9, stated in the paper", **_CLAIM_LINE))
    figure.legend(handles=marks, loc="outside upper left", ncols=min(len(marks), 5))
    means = "; ".join(f"{kind}, {place} {decimal(_mean(values))}" for place, kind, values in found)
    text = (
        "Cosine of a state with its own decomposed and recomposed image, by layer: the paper's Fig. 2, with controls."
    )
    return picture("basis", "How much of a state the basis keeps", text, f"Means: {means}.", figure)


def _split(curve: dict[str, Any]) -> tuple[str, str, list[float]]:
    """Where a curve was measured (model and site), the kind of basis, its values; the label may begin with a model."""
    side, comma, kind = str(curve["label"]).partition(", ")
    site = str(curve.get("site", "")).replace("_", " ")
    values = [float(value) if known(value) else float("nan") for value in curve["cosine"]]
    if comma and side in ("teacher", "student"):
        return f"{side}, {site}", kind.replace("_", " "), values
    return site, str(curve["label"]).replace("_", " "), values


def _line(index: int) -> dict[str, Any]:
    place = index % len(SERIES)
    return {"color": SERIES[place], "linestyle": DASHES[place], "marker": "o", "markersize": 3}


def _mean(values: Sequence[Number]) -> Number:
    measured = [value for value in values if known(value)]
    return sum(measured) / len(measured) if measured else None
