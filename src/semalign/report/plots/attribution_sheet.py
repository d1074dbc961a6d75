"""Pictures of `semalign attribute`: the ranking as bars, what ablation says beside it, and the two trainings."""

from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..units import decimal, significant
from .canvas import AMBER, BLUE, GREEN, INK, MUTED, Picture, panels, picture, plain, style

SPREAD = 20  # how far the largest bar may stand above the median before the others are too small to see


def pictures(found: dict[str, Any]) -> list[Picture]:
    """All that was measured."""
    with style():
        drawn = [bars(found)]
        if "check" in found:
            drawn.append(correlations(found["check"]))
        if "training" in found:
            drawn.append(trainings(found["training"]))
    return drawn


def bars(found: dict[str, Any]) -> Picture:
    """A bar for each layer; below it, where it was measured, the loss increase without that layer."""
    scores, check = found["scores"], found.get("check")
    figure, axes = panels(2 if check else 1, 2.2, 1, sharex=True)
    axes[0].bar(range(len(scores)), scores, width=0.72, color=BLUE)
    axes[0].set(ylabel="score", title=plain(found["attribution"].replace("_", " "), 60))
    words = f"Scores: {', '.join(significant(score) for score in scores)}."
    text = f"The score of each teacher layer on {found['rows']} rows"
    if check:
        _ablation(axes[1], check["ablation"])
        values = ", ".join(decimal(item["value"]) for item in check["ablation"])
        words += f" Loss increases: {values}."
        text += f"; below, how much the loss grows without the layer on {check['rows']} other rows"
    for panel in axes:
        panel.grid(axis="x", visible=False)
        panel.set_xlim(-0.7, len(scores) - 0.3)
    axes[-1].set(xlabel="teacher layer (0 is the first block)")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return picture("ranking", "Which teacher layers matter", f"{text}.", words, figure)


def _ablation(panel: Axes, ablation: list[dict[str, float]]) -> None:
    values = [item["value"] for item in ablation]
    ends = [[i["value"] - i["low"] for i in ablation], [i["high"] - i["value"] for i in ablation]]
    panel.bar(range(len(values)), values, width=0.72, color=GREEN, yerr=ends, ecolor=INK, capsize=2)
    panel.axhline(0, color=MUTED, linewidth=0.8)
    typical = median(map(abs, values))
    stretched = 0 < SPREAD * typical < max(map(abs, values))
    if stretched:
        panel.set_yscale("symlog", linthresh=typical)
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
        panel.set_ylim(min(-typical / 2, *(item["low"] for item in ablation)), 2 * max(values))
    scale = "; linear up to the median, logarithmic above" if stretched else ""
    panel.set(ylabel="loss increase\n(nats a token)", title=f"layer skipped{scale}")


def correlations(check: dict[str, Any]) -> Picture:
    """A dot and an interval for each attribution; those that rank nothing are left out."""
    items = [item for item in check["attributions"] if item["rank_correlation"]]
    figure, (panel,) = panels(1, 0.3 * len(items) + 1.0, 1)
    for place, item in enumerate(items):
        _dot(panel, place, item["rank_correlation"], BLUE if place == 0 else MUTED)
    panel.axvline(0, color=INK, linewidth=0.8)
    _rows(panel, [item["attribution"] for item in items])
    panel.set(xlim=(-1.05, 1.05), xlabel="rank correlation with single-layer ablation (1 is the same order)")
    words = "; ".join(f"{item['attribution']} {decimal(item['rank_correlation']['value'], 2)}" for item in items)
    text = "How well each attribution's scores foretell what skipping a layer costs; the run's own is on top."
    return picture("correlations", "Which ranking foretells ablation", text, f"{words}.", figure)


def trainings(part: dict[str, Any]) -> Picture:
    """Bits per byte of the students, and the paired difference beside them."""
    figure, (left, right) = panels(2, 0.3 * len(part["top_minus_bottom"]) + 1.2, 2)
    bits = {name: cells["all"] for name, cells in part["bits_per_byte"].items()}
    for place, (name, item) in enumerate(bits.items()):
        _dot(left, place, item, {"top": BLUE, "bottom": AMBER}.get(name, MUTED))
    _rows(left, list(bits))
    left.set(xlabel="bits per byte, lower is better", title="all rows")
    for place, item in enumerate(part["top_minus_bottom"].values()):
        _dot(right, place, item, INK if place == 0 else MUTED)
    right.axvline(0, color=INK, linewidth=0.8)
    _rows(right, list(part["top_minus_bottom"]))
    right.set(xlabel="left of 0 the top layers are better", title="top − bottom")
    right.locator_params(axis="x", nbins=5)
    words = "; ".join(f"{name} {decimal(item['value'])}" for name, item in bits.items())
    text = f"One training a side, on {part['layers']} of the student's layers; intervals are over validation rows."
    return picture("trainings", "Does training on the top layers pay", text, f"{words}.", figure)


def _dot(panel: Axes, place: int, item: dict[str, float], colour: str) -> None:
    panel.plot([item["low"], item["high"]], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    panel.plot([item["value"]], [place], "D", color=colour, markersize=6)


def _rows(panel: Axes, names: list[str]) -> None:
    panel.set_yticks(range(len(names)), [plain(name.replace("_", " "), 44) for name in names])
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
