"""Figures of a comparison: a forest of differences with their intervals for each axis."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..answer import reading
from ..units import points
from .canvas import AMBER, BLUE, INK, MUTED, PAPER, Picture, panels, picture, plain, style
from .readings import say

COLOURS = {"helps": BLUE, "hurts": AMBER, "unclear": MUTED}
REST = "Other models"
NO_AXES = "Differences of mean scores"


def forests(result: Mapping[str, Any]) -> list[Picture]:
    """For each axis (and for the models of none) the differences to the base and to LoRA-SFT, a panel each."""
    against = list(dict.fromkeys(name for name in (result["base"], result["control"]) if name))
    groups: dict[str, list[str]] = {}
    for name, method in result["methods"].items():
        groups.setdefault(method["axis"] or (REST if result["axes"] else NO_AXES), []).append(name)
    with style():
        drawn = [
            _forest(result, f"forest-{place}", axis, names, against)
            for place, (axis, names) in enumerate(groups.items())
        ]
    return [found for found in drawn if found is not None]


def _forest(
    result: Mapping[str, Any], name: str, axis: str, names: Sequence[str], against: Sequence[str]
) -> Picture | None:
    found = {
        than: {each["a"]: each for each in result["differences"] if each["b"] == than and each["task"] == "mean"}
        for than in against
    }
    shown = [name for name in names if any(name in each for each in found.values())]
    if not shown:
        return None
    figure, axes = panels(len(against), 0.26 * len(shown) + 1.1, 2, sharey=True)
    for panel, (than, each) in zip(axes, found.items(), strict=True):
        panel.axvline(0, color=INK, linewidth=1)
        for place, variant in enumerate(shown):
            if variant in each:
                _mark(panel, place, each[variant])
                _say(panel, place, variant, each[variant])
        panel.set(title=plain(f"minus {than}"), xlabel="difference in mean score (points)")
        panel.grid(axis="y", visible=False)
        panel.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(shown)), [plain(result["methods"][variant]["label"]) for variant in shown])
    axes[0].set_ylim(len(shown) - 0.4, -0.6)
    words = "; ".join(
        f"{variant} minus {than} {points(each[variant]['value'])} ({points(each[variant]['low'])} to "
        f"{points(each[variant]['high'])})"
        for than, each in found.items()
        for variant in shown
        if variant in each
    )
    caption = (
        "Right of 0 the named one is better. Filled marks are apart from 0; the interval of an open one includes it."
    )
    return picture(name, axis, caption, f"{words}.", figure)


def _say(panel: Any, place: int, name: str, each: Mapping[str, Any]) -> None:
    value, low, high = (points(each[end]) for end in ("value", "low", "high"))
    say(panel, 100 * each["value"], place, f"{name}: {value} points ({low} to {high})")


def _mark(panel: Any, place: int, each: Mapping[str, Any]) -> None:
    verdict = reading(each["low"], each["high"])
    colour = COLOURS[verdict]
    ends = [100 * each["low"], 100 * each["high"]]
    panel.plot(ends, [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    face = PAPER if verdict == "unclear" else colour
    panel.plot([100 * each["value"]], [place], "D", color=colour, markerfacecolor=face, markersize=5.5)
