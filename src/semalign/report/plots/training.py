"""Figures of training and cost: losses and gradients by term, cosine of each pair, what each stage costs."""

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator

from ..record import Record, known, label, models
from ..stages import stage_name, stages
from ..units import decimal, seconds, significant
from .canvas import BLUE, DASHES, INK, MUTED, SERIES, Picture, panels, picture, plain
from .readings import say

POINTS = 240  # points a curve; a long run is averaged down to it, so that the page stays small
NAMED_STAGES = 8  # more names than that do not fit beside each other
NORMS = "term_gradient_norms"
Steps = Sequence[dict[str, Any]]


def losses(record: Record) -> Picture | None:
    """A panel for each trained model: its loss and each term of it."""
    found = logs(record)
    if not found:
        return None
    figure, axes = panels(len(found), 2.6, 3)
    for panel, (key, steps) in zip(axes, found.items(), strict=True):
        terms = list(dict.fromkeys(name for step in steps for name in step.get("terms") or {}))
        if len(terms) != 1:
            curve(panel, steps, lambda step: step.get("loss"), color=INK, linewidth=2.2, label="loss")
        for place, term in enumerate(terms):
            i = place % len(SERIES)
            curve(
                panel,
                steps,
                lambda step, term=term: (step.get("terms") or {}).get(term),
                color=SERIES[i],
                linestyle=DASHES[i],
                label=plain(term),
            )
        _through(panel, record, key)
        panel.legend(loc="best")
        _mark_stages(panel, steps)
    axes[0].set_ylabel("loss (each term in its unit)")
    ends = "; ".join(
        f"{label(record, key)} {decimal(_end(steps, 0))} to {decimal(_end(steps, -1))}" for key, steps in found.items()
    )
    return picture(
        "losses",
        "Loss through training",
        f"The loss of each trained model and its terms.{_staged(found)}",
        f"First to last: {ends}.",
        figure,
    )


def _through(panel: Axes, record: Record, key: str) -> None:
    """A panel over the steps of a model: whole steps on its axis, two steps wide at least."""
    low, high = panel.get_xlim()
    panel.set_xlim(min(low, (low + high) / 2 - 1), max(high, (low + high) / 2 + 1))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.set(title=plain(label(record, key)), xlabel="step")


def _mark_stages(panel: Axes, steps: Steps) -> None:
    """A dotted line where a stage of the schedule begins, with its name where there is room for all of them."""
    starts = stages(steps)
    for place, entry in enumerate(starts):
        if place:
            panel.axvline(entry["step"], color=MUTED, linewidth=1, linestyle=":")
        if len(starts) <= NAMED_STAGES:
            panel.annotate(
                plain(stage_name(entry), 18),
                (entry["step"], 0.03),
                (5, 0),
                xycoords=panel.get_xaxis_transform(),
                textcoords="offset points",
                rotation=90,
                va="bottom",
                fontsize=8,
                color=MUTED,
            )


def _staged(found: dict[str, Steps]) -> str:
    return " Dotted lines: a stage of the schedule begins." if any(map(stages, found.values())) else ""


def gradients(record: Record) -> Picture | None:
    """Norm of each weighted term's own gradient, a panel for each model where it was measured."""
    measured = {key: [step for step in steps if step.get(NORMS)] for key, steps in logs(record).items()}
    found = {key: steps for key, steps in measured.items() if steps}
    if not found:
        return None
    figure, axes = panels(len(found), 2.6, 3)
    words = []
    for panel, (key, steps) in zip(axes, found.items(), strict=True):
        terms = list(dict.fromkeys(name for step in steps for name in step[NORMS]))
        for place, term in enumerate(terms):
            i = place % len(SERIES)
            curve(
                panel,
                steps,
                lambda step, term=term: step[NORMS].get(term) or None,  # a logarithm has no 0
                color=SERIES[i],
                linestyle=DASHES[i],
                label=plain(term),
            )
        words += [f"{label(record, key)} {term} {significant(steps[-1][NORMS].get(term))}" for term in terms]
        _logarithmic(panel, [value for step in steps for value in step[NORMS].values() if value])
        _through(panel, record, key)
        panel.legend(loc="best")
    axes[0].set_ylabel("gradient norm")
    text = "The norm of each weighted term's own gradient: terms far below the others hardly train anything."
    return picture("gradients", "What each term pulls", text, f"At the end: {'; '.join(words)}.", figure)


def _logarithmic(panel: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis with numbers as people write them, at least a decade high, with room for a legend."""
    panel.set_yscale("log")
    panel.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    for axis in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
        axis(lambda value, _: f"{value:g}")
    panel.tick_params(axis="y", which="minor", labelsize=8, labelcolor=MUTED)
    if values:
        panel.set_ylim(min(min(values) / 1.5, max(values) / 4), 2.5 * max(values))


def cosines(record: Record) -> Picture | None:
    """Cosine of each pair through training, a panel for each model that has pairs."""
    found = {key: steps for key, steps in logs(record).items() if any(step.get("cosine") for step in steps)}
    if not found:
        return None
    figure, axes = panels(len(found), 2.6, 2, sharey=True, width=9.6 if len(found) > 1 else 6.4)
    words = []
    for panel, (key, steps) in zip(axes, found.items(), strict=True):
        pairs = list(dict.fromkeys(pair for step in steps for pair in step.get("cosine") or {}))
        shown = pairs if len(pairs) <= 8 else [pairs[0], pairs[len(pairs) // 2], pairs[-1]]
        for place, pair in enumerate(pairs):
            i = place % len(SERIES)
            named = plain(pair.replace(" ", "").replace("->", " → "))
            curve(
                panel,
                steps,
                lambda step, pair=pair: (step.get("cosine") or {}).get(pair),
                color=SERIES[i],
                linestyle=DASHES[i],
                label=named if pair in shown else f"_{named}",
            )
        last = {pair: value for step in steps for pair, value in (step.get("cosine") or {}).items()}
        words += [f"{label(record, key)} {pair} {decimal(value)}" for pair, value in last.items()]
        _through(panel, record, key)
        panel.legend(
            loc="upper left",
            bbox_to_anchor=(1, 1),
            title="pair" if len(shown) == len(pairs) else f"3 of {len(pairs)} pairs",
        )
    axes[0].set_ylabel("cosine to the target (1 is equal)")
    text = "Cosine of the student's state with its mapped target, for each pair (teacher layers → student layer)."
    return picture("cosines", "How close each pair comes", text, f"At the end: {'; '.join(words)}.", figure)


def costs(record: Record) -> Picture | None:
    """Bars for each stage: seconds, tokens, peak memory."""
    stages = record["costs"]
    if not stages:
        return None
    figure, axes = panels(3, 0.24 * len(stages) + 0.95, 3, sharey=True)
    measures = (
        ("time", "seconds", "seconds", 1),
        ("tokens", "tokens", "tokens (thousands)", 1e3),
        ("peak memory", "peak_bytes", "GiB", 2**30),
    )
    for panel, (title, name, unit, scale) in zip(axes, measures, strict=True):
        values = [item[name] / scale if known(item.get(name)) else 0 for item in stages]
        panel.barh(range(len(stages)), values, height=0.66, color=BLUE)
        for place, (item, value) in enumerate(zip(stages, values, strict=True)):
            say(panel, value, place, f"{item['stage']}: {significant(value)} {unit}")
        panel.set(title=title, xlabel=unit)
        panel.grid(axis="y", visible=False)
        panel.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(stages)), [plain(item["stage"], 26) for item in stages])
    axes[0].set_ylim(len(stages) - 0.4, -0.6)
    longest = max(stages, key=lambda item: item.get("seconds") or 0)
    text = f"The longest stage is {longest['stage']} ({seconds(longest.get('seconds'))})."
    return picture("costs", "What each stage costs", text, "", figure)


def logs(record: Record) -> dict[str, Steps]:
    """The entries of every trained model, in the order of a table."""
    order = [model["key"] for model in models(record)]
    return {key: record["training"][key] for key in order if record["training"].get(key)}


def _end(steps: Steps, place: int) -> Any:
    measured = [step["loss"] for step in steps if known(step.get("loss"))]
    return measured[place] if measured else None


def curve(panel: Axes, steps: Steps, value: Callable[[dict[str, Any]], Any], **options: Any) -> None:
    """Draw one quantity over steps, averaged over equal stretches where there are more than POINTS."""
    points = [(step["step"], value(step)) for step in steps if known(value(step))]
    size = -(-len(points) // POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    means = [[sum(column) / len(group) for column in zip(*group, strict=True)] for group in groups]
    marker = {"marker": "o", "markersize": 3} if len(means) < 12 else {}
    panel.plot([x for x, _ in means], [y for _, y in means], **{**marker, **options})
