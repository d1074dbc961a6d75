"""Figures of training and cost: losses by term, cosine of each pair, seconds, tokens and memory by stage."""

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes

from ..record import Record, known, label, models
from ..units import decimal, seconds
from .canvas import BLUE, DASHES, INK, SERIES, Picture, panels, picture, plain

POINTS = 240  # points a curve; a long run is averaged down to it, so that the page stays small
Steps = Sequence[dict[str, Any]]


def losses(record: Record) -> Picture | None:
    """A panel for each trained model: its loss and each term of it."""
    logs = _logs(record)
    if not logs:
        return None
    figure, axes = panels(len(logs), 2.6, 3)
    for panel, (key, steps) in zip(axes, logs.items(), strict=True):
        terms = list(dict.fromkeys(name for step in steps for name in step.get("terms") or {}))
        if len(terms) != 1:
            _curve(panel, steps, lambda step: step.get("loss"), color=INK, linewidth=2.2, label="loss")
        for place, term in enumerate(terms):
            i = place % len(SERIES)
            _curve(
                panel,
                steps,
                lambda step, term=term: (step.get("terms") or {}).get(term),
                color=SERIES[i],
                linestyle=DASHES[i],
                label=plain(term),
            )
        panel.set(title=plain(label(record, key)), xlabel="step")
        panel.legend(loc="upper right")
    axes[0].set_ylabel("loss (nats, or 1 − cosine)")
    ends = "; ".join(
        f"{label(record, key)} {decimal(_end(steps, 0))} to {decimal(_end(steps, -1))}" for key, steps in logs.items()
    )
    return picture(
        "losses",
        "Loss through training",
        "The loss of each trained model and its terms.",
        f"First to last: {ends}.",
        figure,
    )


def cosines(record: Record) -> Picture | None:
    """Cosine of each pair through training, a panel for each model that has pairs."""
    logs = {key: steps for key, steps in _logs(record).items() if any(step.get("cosine") for step in steps)}
    if not logs:
        return None
    figure, axes = panels(len(logs), 2.6, 2, sharey=True, width=9.6 if len(logs) > 1 else 6.4)
    words = []
    for panel, (key, steps) in zip(axes, logs.items(), strict=True):
        pairs = list(dict.fromkeys(pair for step in steps for pair in step.get("cosine") or {}))
        shown = pairs if len(pairs) <= 8 else [pairs[0], pairs[len(pairs) // 2], pairs[-1]]
        for place, pair in enumerate(pairs):
            i = place % len(SERIES)
            named = plain(pair.replace(" ", "").replace("->", " → ")) if pair in shown else "_"
            _curve(
                panel,
                steps,
                lambda step, pair=pair: (step.get("cosine") or {}).get(pair),
                color=SERIES[i],
                linestyle=DASHES[i],
                label=named,
            )
        last = next(step["cosine"] for step in reversed(steps) if step.get("cosine"))
        words += [f"{label(record, key)} {pair} {decimal(value)}" for pair, value in last.items()]
        panel.set(title=plain(label(record, key)), xlabel="step")
        panel.legend(loc="lower right", title="pair" if len(shown) == len(pairs) else f"3 of {len(pairs)} pairs")
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
        panel.set(title=title, xlabel=unit)
        panel.grid(axis="y", visible=False)
        panel.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(stages)), [plain(item["stage"], 26) for item in stages])
    axes[0].set_ylim(len(stages) - 0.4, -0.6)
    longest = max(stages, key=lambda item: item.get("seconds") or 0)
    text = f"The longest stage is {longest['stage']} ({seconds(longest.get('seconds'))})."
    return picture("costs", "What each stage costs", text, "", figure)


def _logs(record: Record) -> dict[str, Steps]:
    order = [model["key"] for model in models(record)]
    return {key: record["training"][key] for key in order if record["training"].get(key)}


def _end(steps: Steps, place: int) -> Any:
    measured = [step["loss"] for step in steps if known(step.get("loss"))]
    return measured[place] if measured else None


def _curve(panel: Axes, steps: Steps, value: Callable[[dict[str, Any]], Any], **options: Any) -> None:
    """Draw one quantity over steps, averaged over equal stretches where there are more than POINTS."""
    points = [(step["step"], value(step)) for step in steps if known(value(step))]
    size = -(-len(points) // POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    means = [[sum(column) / len(group) for column in zip(*group, strict=True)] for group in groups]
    marker = {"marker": "o", "markersize": 3} if len(means) < 12 else {}
    panel.plot([x for x, _ in means], [y for _, y in means], **{**marker, **options})
