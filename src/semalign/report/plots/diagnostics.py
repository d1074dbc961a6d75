"""Figures of the probes: similarity of layers, logit lens by layer, and how near the output comes through training."""

from collections.abc import Mapping
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..diagnosed import BEFORE, average, pair_cka, pairs, probes, through
from ..record import Record, known, label, models
from ..units import decimal, percent
from .canvas import AMBER, BLUE, DASHES, INK, MUTED, PAPER, SERIES, SKY, Picture, panels, picture, plain
from .heat import heat, scale, span_of
from .readings import say_grid
from .training import curve

PANELS = 6  # heat maps on a page: the untouched student and at most five trained ones
BETWEEN = 2  # profiles drawn between the first and the last


def similarity(record: Record) -> Picture | None:
    """Linear CKA of every student layer with every teacher layer, before and after; the paper's figures 4 to 6."""
    found = {key: probe["cka"] for key, probe in probes(record).items() if probe.get("cka")}
    if not found:
        return None
    shown = dict(list(found.items())[:PANELS])
    rows, columns = (max(size(cka) for cka in shown.values()) for size in (len, lambda cka: len(cka[0])))
    figure, axes = panels(len(shown), min(max(2.9 * rows / columns + 0.9, 1.7), 3.6), 3, sharey=True)
    span = span_of(shown.values())
    marks = {(student, teacher) for student, teacher, _ in pairs(record)}
    for panel, (key, cka) in zip(axes, shown.items(), strict=True):
        heat(panel, cka, span=span, marks=sorted(marks))
        say_grid(panel, cka, rows="student layer", columns="teacher layer", what="CKA", paired=marks)
        panel.set(title=plain(label(record, key)), xlabel="teacher layer")
    axes[0].set_ylabel("student layer")
    dot = Line2D([], [], linestyle="", marker="o", color=AMBER, markeredgecolor=PAPER, label="paired layers")
    figure.legend(handles=[*scale(span), *([dot] if marks else [])], loc="outside upper left", ncols=6)
    means = {key: pair_cka(record, cka) for key, cka in found.items()}
    words = "; ".join(f"{label(record, key)} {decimal(value)}" for key, value in means.items() if known(value))
    text = (
        "Linear CKA of block outputs at answer tokens: 0 is unrelated, 1 is equal up to rotation and scale; one scale "
        "of colours for all maps."
    )
    mean = f"Mean over the pairs: {words}." if words else ""
    return picture("similarity", "How alike the layers are", f"{text} {mean}".strip(), _extremes(record, shown), figure)


def _extremes(record: Record, shown: Mapping[str, Any]) -> str:
    parts = []
    for key, cka in shown.items():
        values = [value for line in cka for value in line if known(value)]
        if values:
            parts.append(f"{label(record, key)} {decimal(min(values), 2)} to {decimal(max(values), 2)}")
    return f"Range: {'; '.join(parts)}."


def lens(record: Record) -> Picture | None:
    """Logit-lens KL by layer: a panel for each trained model, with profiles before, through and after training."""
    trained = [model["key"] for model in models(record) if model["key"] != BEFORE]
    found = {key: [item for item in through(record, key) if item[1].get("lens_kl")] for key in trained}
    found = {key: items for key, items in found.items() if len(items) > 1}
    if not found:
        return None
    figure, axes = panels(len(found), 2.6, 3, sharey=True)
    for panel, (key, items) in zip(axes, found.items(), strict=True):
        inner = items[1:-1]
        chosen = [inner[(i + 1) * len(inner) // (BETWEEN + 1)] for i in range(min(BETWEEN, len(inner)))]
        profiles = [items[0], *chosen, items[-1]]
        for place, (step, probe) in enumerate(profiles):
            panel.plot(range(len(probe["lens_kl"])), probe["lens_kl"], **_profile(place, len(profiles), step))
        panel.set(title=plain(label(record, key)), xlabel="student layer")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_ylim(bottom=0)
        panel.legend(loc="upper right")
    axes[0].set_ylabel("KL to the teacher (nats)")
    words = "; ".join(
        f"{label(record, key)} {decimal(items[0][1]['lens_kl'][-1])} to {decimal(items[-1][1]['lens_kl'][-1])}"
        for key, items in found.items()
    )
    text = (
        "What each student layer says through the student's final norm and head, as its distance from what the teacher "
        "says in the end; lower is closer."
    )
    return picture("lens", "Where the answer forms", text, f"At the last layer: {words}.", figure)


def _profile(place: int, count: int, step: int) -> dict[str, Any]:
    if place == 0:
        return {"color": MUTED, "linestyle": "--", "marker": "o", "markersize": 3, "label": "before"}
    if place == count - 1:
        return {"color": BLUE, "marker": "o", "markersize": 3.5, "linewidth": 2.2, "label": "after"}
    return {"color": SKY, "linestyle": (":", "-.")[(place - 1) % 2], "linewidth": 1.4, "label": f"step {step}"}


def progress(record: Record) -> Picture | None:
    """Agreement with the teacher and logit-lens KL through training, a line for each trained model."""
    trained = [model["key"] for model in models(record) if record["training"].get(model["key"])]
    found = {key: through(record, key) for key in trained}
    found = {key: items for key, items in found.items() if len(items) > 1}
    if not found:
        return None
    measures = (
        ("same first choice", "agreement (%)", lambda probe: _percent(probe.get("agreement"))),
        ("KL at the output", "nats a token", lambda probe: (probe.get("lens_kl") or [None])[-1]),
        ("logit-lens KL, mean of layers", "nats a token", lambda probe: average(probe.get("lens_kl") or ())),
    )
    figure, axes = panels(3, 2.6, 3)
    for panel, (title, unit, value) in zip(axes, measures, strict=True):
        for place, (key, items) in enumerate(found.items()):
            i = place % len(SERIES)
            points = [{"step": step, "probe": probe} for step, probe in items]
            curve(
                panel,
                points,
                lambda item, value=value: value(item["probe"]),
                color=SERIES[i],
                linestyle=DASHES[i],
                label=plain(label(record, key)),
            )
        panel.set(title=title, xlabel="steps done", ylabel=unit)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend(loc="lower right", labelcolor=INK)
    ends = [(key, items[0][1].get("agreement"), items[-1][1].get("agreement")) for key, items in found.items()]
    words = "; ".join(f"{label(record, key)} {percent(first)} to {percent(last)} %" for key, first, last in ends)
    text = "Measured at the same answer tokens all the time; from before the first step to after the last."
    return picture("progress", "How near the output comes", text, f"Agreement: {words}.", figure)


def _percent(share: float | int | None) -> float | None:
    return 100 * share if known(share) else None
