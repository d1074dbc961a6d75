"""Figures of the outcome: every model's score by task, and what the method adds to the control."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from ..answer import reading
from ..record import (
    LEVEL,
    MEAN,
    Record,
    difference,
    known,
    label,
    likelihood_tasks,
    main_control,
    main_method,
    mean,
    models,
    score,
    scored_tasks,
    the_teacher,
)
from ..units import percent, points
from .canvas import AMBER, BLUE, GREEN, INK, MARKER, MUTED, PAPER, ROLE, Picture, panels, picture, plain
from .readings import say

COLOURS = {"helps": BLUE, "hurts": AMBER, "unclear": MUTED}


def scores(record: Record) -> Picture | None:
    """One panel a task and one for the mean; a dot and its interval for each model, a line at the teacher."""
    tasks = scored_tasks(record)
    if not tasks:
        return None
    cells: dict[str, dict[str, dict[str, Any]]] = {
        task: {m["key"]: score(record, task, m["key"]) for m in models(record)} for task in tasks
    }
    if record["mean_score"] and len(tasks) > 1:
        means = {m["key"]: mean(record, "mean_score", m["key"]) for m in models(record)}
        cells["mean of tasks"] = {key: {**item, "score": item.get("value")} for key, item in means.items()}
    figure, axes = panels(len(cells), 0.27 * len(models(record)) + 1.0, 5, sharey=True)
    for panel, (task, row) in zip(axes, cells.items(), strict=True):
        dots(panel, record, row, record["reference"])
        panel.set(title=plain(task, 78 // min(len(cells), 5)), xlabel=_unit(record, task))
    best = {m["key"]: mean(record, "mean_score", m["key"]).get("value") for m in models(record)}
    words = ", ".join(f"{label(record, key)} {percent(value)} %" for key, value in best.items() if known(value))
    text = f"A dot for each model in each task, with its {LEVEL} % interval; the dotted line is {the_teacher(record)}."
    return picture("scores", "Scores on held-out rows", text, f"Means: {words or 'none'}.", figure)


def _unit(record: Record, task: str) -> str:
    likelihood = likelihood_tasks(record)
    if task in scored_tasks(record):
        return "probability a byte (%)" if task in likelihood else "correct (%)"
    return "score (%)" if likelihood else "correct (%)"


def dots(panel: Axes, record: Record, row: Mapping[str, Mapping[str, Any]], line: str) -> None:
    """A dot and its interval for each model, and a line at one of them."""
    rows = models(record)
    ends: list[float] = []
    for place, model in enumerate(rows):
        cell = row.get(model["key"]) or {}
        if not known(cell.get("score")):
            continue
        value, low, high = (
            100 * cell[name] if known(cell.get(name)) else 100 * cell["score"] for name in ("score", "low", "high")
        )
        colour = ROLE.get(model["role"], INK)
        panel.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        panel.plot([value], [place], MARKER.get(model["role"], "o"), color=colour, markersize=6)
        say(panel, value, place, f"{model['label']}: {value:.1f} % ({low:.1f} to {high:.1f})")
        ends += [low, high]
        if model["key"] == line:
            panel.axvline(value, color=GREEN, linewidth=1, linestyle=":", zorder=0)
    panel.set_yticks(range(len(rows)), [plain(model["label"], 26) for model in rows])
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
    panel.set_xlim(*_limits(ends))
    panel.locator_params(axis="x", nbins=4)


def _limits(ends: list[float]) -> tuple[float, float]:
    """The range of the intervals with a margin; at least 10 points, so that noise does not fill a panel."""
    if not ends:
        return 0, 100
    margin = max(0.08 * (max(ends) - min(ends)), (10 - max(ends) + min(ends)) / 2, 1)
    return max(min(ends) - margin, -1), min(max(ends) + margin, 101)


def differences(record: Record) -> Picture | None:
    """The paired difference of method and control by task; an open mark where the interval includes 0."""
    method, control = main_method(record), main_control(record)
    if method is None or control is None:
        return None
    found = {task: difference(record, method, control, task) for task in (MEAN, *scored_tasks(record))}
    items = {task: item for task, item in found.items() if item is not None}
    if len(scored_tasks(record)) == 1 and len(items) > 1:  # one task is its own mean
        del items[MEAN]
    if not items:
        return None
    figure, (panel,) = panels(1, 0.3 * len(items) + 1.05, 1)
    panel.axvline(0, color=INK, linewidth=1)
    for place, item in enumerate(items.values()):
        verdict = reading(item["low"], item["high"])
        colour = COLOURS[verdict]
        panel.plot(
            [100 * item["low"], 100 * item["high"]], [place, place], color=colour, linewidth=2, solid_capstyle="butt"
        )
        face = PAPER if verdict == "unclear" else colour
        panel.plot([100 * item["value"]], [place], "D", color=colour, markerfacecolor=face, markersize=6.5)
        task = list(items)[place]
        ends = f"{points(item['low'])} to {points(item['high'])}"
        say(panel, 100 * item["value"], place, f"{task}: {points(item['value'])} points ({ends})")
    panel.set_yticks(range(len(items)), ["mean of tasks" if task == MEAN else plain(task) for task in items])
    panel.set_ylim(len(items) - 0.4, -0.6)
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
    title = f"{label(record, method)} − {label(record, control)}"
    panel.set(title=plain(title, 70), xlabel=f"difference in score (percentage points, {LEVEL} % interval)")
    words = "; ".join(
        f"{task} {points(i['value'])} ({points(i['low'])} to {points(i['high'])})" for task, i in items.items()
    )
    text = (
        "Right of 0 the method is better. Filled marks are clear differences; the interval of an open one includes 0."
    )
    return picture("differences", "What alignment adds to the control", text, f"{words}.", figure)
