"""Pictures of `semalign basis`: reconstruction with its controls, the map at each pair, every map side by side."""

from typing import Any

from matplotlib.ticker import MaxNLocator

from ..units import decimal
from .canvas import BLUE, DASHES, GREEN, GRID, MUTED, SERIES, Picture, panels, picture, plain, style


def pictures(found: dict[str, Any]) -> list[Picture]:
    """All that the measurements have data for."""
    with style():
        return [reconstruction(found), pairs(found), maps(found)]


def reconstruction(found: dict[str, Any]) -> Picture:
    """The paper's Fig. 2: a panel for each model, a line for each basis."""
    sides = found["reconstruction"]
    figure, axes = panels(len(sides), 2.8, 2, sharey=True)
    for panel, (side, curves) in zip(axes, sides.items(), strict=True):
        for place, (name, values) in enumerate(curves.items()):
            line: dict[str, Any] = {"color": SERIES[place % len(SERIES)], "linestyle": DASHES[place % len(DASHES)]}
            panel.plot(range(len(values)), values, marker="o", markersize=3, label=plain(name), **line)
        panel.set(title=f"{side}, {found['site'].replace('_', ' ')}", xlabel="layer")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("cosine (1 is lossless)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    words = "; ".join(
        f"{side}, {name}: {decimal(sum(values) / len(values))}"
        for side, curves in sides.items()
        for name, values in curves.items()
    )
    text = "Cosine of a state with its decomposed and recomposed image, by layer. Random vectors are the control."
    return picture("reconstruction", "How much of a state each basis keeps", text, f"Means: {words}.", figure)


def pairs(found: dict[str, Any]) -> Picture:
    """CKA before and after the map, and explained variance, for each student layer."""
    lines = {
        "CKA before the map": ("cka_before", MUTED, ":", "s"),
        "CKA after the map": ("cka_after", BLUE, "-", "D"),
        "explained variance (best scale)": ("explained_scaled", GREEN, "--", "o"),
    }
    layers = [pair["student"] for pair in found["pairs"]]
    figure, (panel,) = panels(1, 2.8, 1)
    for name, (key, colour, dash, marker) in lines.items():
        values = [float("nan") if pair[key] is None else pair[key] for pair in found["pairs"]]
        panel.plot(layers, values, color=colour, linestyle=dash, marker=marker, markersize=5, label=name)
    panel.set(xlabel="student layer", ylim=(-0.04, 1.04), title=plain(f"map {found['basis']}", 60))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    words = "; ".join(
        f"layer {pair['student']}: CKA {decimal(pair['cka_before'])} before, {decimal(pair['cka_after'])} after, "
        f"explained {decimal(pair['explained_scaled'])}"
        for pair in found["pairs"]
    )
    text = "How alike teacher and student states are at each pair, on held-out rows, before and after the map."
    return picture("pairs", "The map at each pair", text, f"{words}.", figure)


def maps(found: dict[str, Any]) -> Picture:
    """A line for each map: what the student's head reads as the teacher's, and how close it is to the student."""
    rows = [row for row in found["maps"] if not row["refused"]]
    titles = {
        "agreement_top1": "final state: top-1",
        "lens_top1": "pairs: lens top-1",
        "explained_scaled": "pairs: explained variance",
    }
    figure, axes = panels(len(titles), 0.26 * len(rows) + 0.9, 3, sharey=True)
    for panel, (key, title) in zip(axes, titles.items(), strict=True):
        values = [row[key] for row in rows]
        panel.barh(
            range(len(rows)),
            [value or 0.0 for value in values],
            color=[BLUE if i == 0 else GRID for i in range(len(rows))],
            edgecolor=BLUE,
            linewidth=0.8,
        )
        panel.set(title=title, xlim=(0, 1.18), ylim=(len(rows) - 0.4, -0.6))
        panel.set_xticks([0, 0.5, 1])
        panel.set_yticks(range(len(rows)), [plain(row["basis"]) for row in rows])
        panel.grid(axis="y", visible=False)
        for place, value in enumerate(values):
            panel.text((value or 0.0) + 0.02, place, decimal(value, 2), va="center", fontsize=8.5)
    words = "; ".join(f"{row['basis']}: " + ", ".join(decimal(row[key]) for key in titles) for row in rows)
    text = (
        "Agreement with the teacher, and variance of the student's states explained at the best scale, on held-out "
        "rows; the filled bar is the map of the configuration. Chance is near 0."
    )
    return picture("maps", "Every map on this pair", text, f"{words}.", figure)
