"""Figures of a comparison of methods: where each stands beside its teachers, and how far from them on every task."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..units import decimal, percent, points
from .canvas import GREEN, INK, MARKER, MUTED, ROLE, Picture, panels, picture, plain, style
from .readings import say

LINES = {"student": (MUTED, ":"), "teacher": (GREEN, "--"), "teacher_adapted": (GREEN, "-")}


def standings(result: Mapping[str, Any]) -> list[Picture]:
    """Mean score and closeness of every model; and, task by task, the gap to the teacher."""
    with style():
        return [_means(result), _gaps(result)]


def _means(result: Mapping[str, Any]) -> Picture:
    methods = result["methods"]
    figure, (scores, distances) = panels(2, 0.27 * len(methods) + 1.1, 2, sharey=True)
    for name, (colour, dash) in LINES.items():
        if name in methods:
            scores.axvline(100 * methods[name]["mean_score"]["value"], color=colour, linestyle=dash, linewidth=1)
    for place, (name, method) in enumerate(methods.items()):
        _mark(scores, place, name, method["mean_score"], method["role"])
        _mark(distances, place, name, method["mean_gap"], method["role"])
    scores.set(title="Mean score", xlabel="percent, higher is better")
    distances.set(title="Closeness: mean distance to the teacher", xlabel="points, 0 is closest")
    distances.set_xlim(left=0)
    _name(scores, methods)
    _name(distances, methods)
    values = "; ".join(
        f"{name} {percent(method['mean_score']['value'])}, {percent(method['mean_gap']['value'])} from the teacher"
        for name, method in methods.items()
    )
    caption = (
        "Vertical lines: the untouched student (dotted), the teacher (dashed) and the teacher adapted on the same rows "
        "(solid). Right of a teacher's line its student has passed it. Bars are 95 % intervals over seeds and rows."
    )
    return picture("standing", "Scores and closeness", caption, f"{values}.", figure)


def _gaps(result: Mapping[str, Any]) -> Picture:
    methods = {name: method for name, method in result["methods"].items() if name != result["reference"]}
    tasks = result["tasks"]
    figure, axes = panels(len(tasks), 0.27 * len(methods) + 1.1, 2, sharey=True)
    for panel, (task, row) in zip(axes, tasks.items(), strict=True):
        panel.axvline(0, color=INK, linewidth=1)
        for place, (name, method) in enumerate(methods.items()):
            _mark(panel, place, name, row[name]["gap"], method["role"])
        panel.set(title=plain(task), xlabel="score minus the teacher's (points)")
        _name(panel, methods)
    values = "; ".join(
        f"{task}: {', '.join(name + ' ' + points(row[name]['gap']['value']) for name in methods)}"
        for task, row in tasks.items()
    )
    caption = (
        "Left of 0 the model is below the teacher that gaps are measured to, right of 0 it has passed it, which is no "
        "error though closeness counts the distance. Bars are 95 % intervals over seeds and rows."
    )
    return picture("gaps", "Gap to the teacher by task", caption, f"{values}.", figure)


def _mark(panel: Any, place: int, name: str, each: Mapping[str, Any], role: str) -> None:
    value, low, high = (decimal(100 * each[end], 1) for end in ("value", "low", "high"))
    say(panel, 100 * each["value"], place, f"{name}: {value} ({low} to {high})")
    panel.plot([100 * each["low"], 100 * each["high"]], [place, place], color=ROLE[role], solid_capstyle="butt")
    panel.plot([100 * each["value"]], [place], MARKER[role], color=ROLE[role], markersize=5.5)


def _name(panel: Any, names: Sequence[str] | Mapping[str, Any]) -> None:
    panel.set_yticks(range(len(names)), [plain(name) for name in names])
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
