"""What a page reads off a picture: every point where it is drawn, with its value, in the units of the view box."""

import re

import pytest

from semalign.report.plots.canvas import panels, picture, style
from semalign.report.plots.readings import say

STEPS = [0.0, 1.0, 2.0]
VALUES = [1.0, 10.0, 100.0]


def _drawn():
    with style():
        figure, (left, right) = panels(2, 2.0, 2)
        left.plot(STEPS, VALUES, label="loss")
        left.plot(STEPS, [float("nan"), 3.0, 4.0], label="_kl")
        left.axvline(1.0)
        left.set(title="curves", xlabel="step", yscale="log")
        right.plot([0.0, 1.0], [5.0, 6.0])
        say(right, 1.0, 6.0, "the end")
        return picture("name", "t", "c", "v", figure)


def _path(svg: str, element: str) -> list[list[float]]:
    path = re.search(rf'id="{element}">.*?d="([^"]*)"', svg, re.DOTALL)
    assert path is not None
    return [[float(x), float(y)] for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path[1])]


def test_points_are_where_the_drawing_has_them():
    drawn = _drawn()
    curve = drawn.panels[0]["curves"][0]
    places = [point[:2] for point in curve["points"]]
    assert _path(drawn.svg, curve["id"]) == [pytest.approx(place, abs=0.1) for place in places]
    assert [point[2:] for point in curve["points"]] == [["0", "1"], ["1", "10"], ["2", "100"]]


def test_curves_have_names_and_leave_out_what_was_not_measured():
    left, right = _drawn().panels
    assert [(curve["label"], len(curve["points"])) for curve in left["curves"]] == [("loss", 3), ("kl", 2)]
    assert right["curves"] == []
    assert (left["title"], left["x"]) == ("curves", "step")


def test_a_mark_lies_in_its_panel_and_says_its_words():
    left, right = _drawn().panels
    (x0, y0, x1, y1) = right["box"]
    ((x, y, words),) = right["marks"]
    assert words == "the end"
    assert x0 < x < x1
    assert y0 < y < y1
    assert left["box"][2] < x0
