"""What can be read off a drawing: the place and words of every point, for the page to show on hover and by keys."""

from collections.abc import Collection, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..record import Number, known
from ..units import significant

POINTS_PER_INCH = 72  # of the view box that matplotlib gives an SVG
_MARKS: WeakKeyDictionary[Axes, list[tuple[float, float, str]]] = WeakKeyDictionary()
_GRIDS: WeakKeyDictionary[Axes, dict[str, Any]] = WeakKeyDictionary()


def say(panel: Axes, x: float, y: float, words: str) -> None:
    """What the page says at a point of a panel, in data coordinates, that is no line of its own."""
    _MARKS.setdefault(panel, []).append((x, y, words))


def say_grid(
    panel: Axes,
    values: Sequence[Sequence[Number]],
    *,
    rows: str,
    columns: str,
    what: str,
    paired: Collection[tuple[int, int]],
) -> None:
    """What the page says at every cell of a heat map: its row, column and value; `paired` are (row, column)."""
    shown = [[round(value, 3) if known(value) else None for value in line] for line in values]
    _GRIDS[panel] = {"rows": rows, "columns": columns, "what": what, "values": shown, "paired": sorted(paired)}


def name_lines(figure: Figure) -> None:
    """Give every curve an id that the drawing keeps; before it is saved."""
    for i, panel in enumerate(figure.axes):
        for j, line in enumerate(_curves(panel)):
            line.set_gid(f"curve-{i}-{j}")


def readings(figure: Figure, name: str) -> list[dict[str, Any]]:
    """A panel each: `box` (left, top, right, bottom), `curves` and `marks`, in the units of the view box; once saved.

    A curve has its `label`, the `id` of its element and `points` of [x, y, value at x, value at y as text]; a mark is
    [x, y, words]; a `grid` has the places `x` of its columns and `y` of its rows.
    """
    found = []
    for panel in figure.axes:
        curves = [
            {"label": _label(line), "id": f"{name}-{line.get_gid()}", "points": _points(figure, panel, line)}
            for line in _curves(panel)
        ]
        marks = _MARKS.get(panel, ())
        places = _places(figure, panel, [(x, y) for x, y, _ in marks])
        spoken = [[*place, words] for place, (_, _, words) in zip(places, marks, strict=True)]
        grid = _GRIDS.get(panel)
        if curves or spoken or grid:
            title = panel.get_title(loc="left") or panel.get_title()
            (left, top), (right, bottom) = _from_shares(figure, panel, [(0.0, 1.0), (1.0, 0.0)])
            about = {"title": title.strip(), "x": panel.get_xlabel(), "box": [left, top, right, bottom]}
            cells = {"grid": {**grid, **_grid_places(figure, panel, grid["values"])}} if grid else {}
            found.append({**about, "curves": curves, "marks": spoken, **cells})
    return found


def _grid_places(figure: Figure, panel: Axes, values: Sequence[Sequence[Number]]) -> dict[str, list[float]]:
    columns = _places(figure, panel, [(column, 0) for column in range(len(values[0]))])
    rows = _places(figure, panel, [(0, row) for row in range(len(values))])
    return {"x": [x for x, _ in columns], "y": [y for _, y in rows]}


def _curves(panel: Axes) -> list[Line2D]:
    """Lines that have a name; one that begins with an underscore is a curve that a legend leaves out."""
    return [line for line in panel.get_lines() if not str(line.get_label()).startswith("_child")]


def _label(line: Line2D) -> str:
    return str(line.get_label()).removeprefix("_").strip()


def _points(figure: Figure, panel: Axes, line: Line2D) -> list[list[Any]]:
    data = np.asarray(line.get_xydata(), dtype=float)
    data = data[np.isfinite(data).all(axis=1)]
    values = [(significant(float(x)), significant(float(y))) for x, y in data]
    return [[*place, *value] for place, value in zip(_places(figure, panel, data), values, strict=True)]


def _places(figure: Figure, panel: Axes, data: Any) -> list[list[float]]:
    if len(data) == 0:
        return []
    shares = panel.transAxes.inverted().transform(panel.transData.transform(np.asarray(data, dtype=float)))
    return _from_shares(figure, panel, shares)


def _from_shares(figure: Figure, panel: Axes, shares: Any) -> list[list[float]]:
    """From shares of the panel, upwards, to the view box, downwards."""
    box, (width, height) = panel.get_position(), figure.get_size_inches() * POINTS_PER_INCH
    return [
        [round((box.x0 + x * box.width) * width, 1), round((1 - box.y0 - y * box.height) * height, 1)]
        for x, y in shares
    ]
