"""Heat maps: every measured cell once, stronger for more, on a scale that says what it is."""

import pytest

from semalign.report.plots.canvas import panels, style
from semalign.report.plots.heat import heat, scale, span_of


def _strength(values, **options):
    """Opacity by (row, column), read back from the shapes that were drawn."""
    with style():
        _, (panel,) = panels(1, 2.0, 1)
        heat(panel, values, **options)
    found = {}
    for patch in panel.patches:
        for square in patch.get_path().to_polygons():
            column, row = square[:4].mean(axis=0)
            assert (round(row), round(column)) not in found
            found[round(row), round(column)] = patch.get_alpha()
    return found


def test_more_is_stronger_and_what_was_not_measured_is_empty():
    found = _strength([[0.0, 0.5, 1.0], [None, 0.25, float("nan")]])
    assert found == {(0, 0): 0.0, (0, 1): 0.5, (0, 2): 1.0, (1, 1): 0.25}


def test_a_span_stretches_the_scale_and_clips():
    assert _strength([[0.1, 0.4, 0.5, 0.9]], span=(0.4, 0.6)) == {(0, 0): 0, (0, 1): 0, (0, 2): 0.5, (0, 3): 1}


@pytest.mark.parametrize(
    ("values", "span"),
    [
        ([[0.47, 0.61]], (0.45, 0.65)),
        ([[0.512]], (0.5, 0.7)),  # noise must not fill the scale
        ([[0.99]], (0.8, 1.0)),
        ([[0.0, None, 1.0]], (0.0, 1.0)),
        ([[None]], (0.0, 1.0)),
    ],
)
def test_a_span_holds_its_values_and_is_a_fifth_at_least(values, span):
    assert span_of([values]) == pytest.approx(span)


def test_swatches_say_the_ends_of_the_span():
    swatches = scale((0.45, 0.65))
    assert [swatch.get_label() for swatch in swatches] == ["0.45", "0.5", "0.55", "0.6", "0.65"]
    assert [swatch.get_facecolor()[3] for swatch in swatches] == [0, 0.25, 0.5, 0.75, 1]
