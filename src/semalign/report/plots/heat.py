"""Heat maps in one hue over the page, stronger for more, so that they read in light and in dark."""

import math
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from ..record import Number, known
from .canvas import AMBER, BLUE, MUTED, PAPER

LEVELS = 20  # steps of the scale; the cells of a step are one shape, which keeps a page of large maps small
GAP = 0.06  # between cells, of a cell's side


def heat(
    panel: Axes,
    values: Sequence[Sequence[Number]],
    *,
    span: tuple[float, float] = (0.0, 1.0),
    marks: Iterable[tuple[int, int]] = (),
) -> None:
    """Values in `span`, row 0 at the bottom; `marks` are (row, column). What was not measured stays empty."""
    low, high = span
    cells: dict[int, list[tuple[int, int]]] = {}
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            if known(value):
                share = min(max((value - low) / (high - low), 0.0), 1.0)
                cells.setdefault(round(LEVELS * share), []).append((row, column))
    for level, members in sorted(cells.items()):
        shape = Path.make_compound_path(*(_square(row, column) for row, column in members))
        panel.add_patch(PathPatch(shape, facecolor=BLUE, alpha=level / LEVELS, linewidth=0))
    for row, column in marks:
        panel.plot([column], [row], "o", color=AMBER, markeredgecolor=PAPER, markeredgewidth=0.8, markersize=5)
    panel.set(xlim=(-0.5, len(values[0]) - 0.5), ylim=(-0.5, len(values) - 0.5))
    panel.grid(visible=False)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def span_of(maps: Iterable[Sequence[Sequence[Number]]]) -> tuple[float, float]:
    """The range of maps in [0, 1] that are to be compared, widened to whole twentieths and to a fifth at least."""
    values = [value for one in maps for line in one for value in line if known(value)]
    low, high = math.floor(20 * min(values, default=0.0)), math.ceil(20 * max(values, default=1.0))
    high = max(high, min(low + 4, 20))
    return min(low, high - 4) / 20, high / 20


def scale(span: tuple[float, float] = (0.0, 1.0), steps: int = 5) -> list[Patch]:
    """Swatches over a span for a legend."""
    low, high = span
    shares = [i / (steps - 1) for i in range(steps)]
    return [
        Patch(facecolor=(BLUE, share), edgecolor=MUTED, linewidth=0.5, label=f"{low + share * (high - low):.3g}")
        for share in shares
    ]


def _square(row: int, column: int) -> Path:
    low, high = -0.5 + GAP / 2, 0.5 - GAP / 2
    corners = [(low, low), (high, low), (high, high), (low, high), (low, low)]
    return Path([(column + x, row + y) for x, y in corners], closed=True)
