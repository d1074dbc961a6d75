"""The figure of the choice in one look: pairs over the similarity of all layers, under the attribution."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..diagnosed import BEFORE, pairs, probes
from ..record import Record, known
from ..units import decimal, significant
from .canvas import AMBER, BLUE, GRID, PAPER, Picture, picture
from .heat import heat, scale, span_of
from .readings import say, say_grid

WIDTH = 7.2


def alignment(record: Record) -> Picture | None:
    """CKA of every student layer with every teacher layer before training, a dot at each pair, attribution above."""
    cka = probes(record).get(BEFORE, {}).get("cka")
    links = pairs(record)
    if not cka or not links:
        return None
    rows, columns = len(cka), len(cka[0])
    scores = (record["attribution"] or {}).get("scores") or []
    above = len(scores) == columns
    figure = Figure(figsize=(WIDTH, min(max(6.4 * rows / columns, 1.5), 5.0) + (2.0 if above else 0.9)))
    ratios = [1.1, min(max(6.4 * rows / columns, 1.5), 5.0)] if above else [1.0]
    *top, panel = figure.subplots(len(ratios), 1, squeeze=False, sharex=True, height_ratios=ratios).flat
    span = span_of([cka])
    heat(panel, cka, span=span)
    for student, teacher, weight in links:
        size = 4 + 5 * weight
        panel.plot([teacher], [student], "o", color=AMBER, markeredgecolor=PAPER, markeredgewidth=0.8, markersize=size)
    say_grid(
        panel,
        cka,
        rows="student layer",
        columns="teacher layer",
        what="CKA before training",
        paired=[(student, teacher) for student, teacher, _ in links],
    )
    panel.set(xlabel="teacher layer", ylabel="student layer")
    taught = {teacher for _, teacher, _ in links}
    for bars in top:
        values = [value if known(value) else 0.0 for value in scores]
        colours = [BLUE if layer in taught else GRID for layer in range(columns)]
        bars.bar(range(columns), values, width=0.72, color=colours, edgecolor=BLUE, linewidth=0.8)
        bars.set(ylabel="attribution")
        bars.grid(axis="x", visible=False)
        bars.yaxis.set_major_locator(MaxNLocator(nbins=3))
        for layer, value in enumerate(values):
            say(bars, layer, value, f"teacher layer {layer}: attribution {significant(value)}")
    dot = Line2D([], [], linestyle="", marker="o", color=AMBER, markeredgecolor=PAPER, label="paired layers")
    figure.legend(handles=[*scale(span), dot], loc="outside upper left", ncols=6)
    words = "; ".join(f"student {s} with teacher {t}, CKA {decimal(cka[s][t])}" for s, t, _ in links)
    text = (
        "Linear CKA of every student layer with every teacher layer before training; dots are the pairs, smaller where "
        "two teacher layers share one."
    ) + (" Above: the attribution of each teacher layer." if above else "")
    return picture("alignment", "Pairs over the similarity of all layers", text, f"{words}.", figure)
