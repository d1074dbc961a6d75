"""What a cell sorts by: numbers as the tables write them, in one unit."""

import pytest

from semalign.report import units
from semalign.report.sorting import sort_key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("58.0", 58.0),
        ("−4.25", -4.25),
        ("+1.8 to +11.8", 1.8),
        ("24,576", 24_576.0),
        ("1.44e+05", 144_000.0),
        ("58.0 ± 2.1", 58.0),
        ("7 (0.35) + 8 (0.65)", 7.0),
        ("–", None),
        ("", None),
        ("SemAlign", None),
    ],
)
def test_a_text_sorts_by_the_number_it_begins_with(text: str, key: float | None) -> None:
    assert sort_key(text) == key


def test_times_and_sizes_sort_by_what_they_measure() -> None:
    seconds = (3.2, 59.9, 61.0, 3_599.0, 3_700.0, 90_000.0)
    assert [sort_key(units.seconds(value)) for value in seconds] == pytest.approx(seconds, abs=40)
    keys = [sort_key(units.memory(value)) for value in (2.0**20, 900 * 2.0**20, 1.5 * 2.0**30)]
    assert keys == [2.0**20, 900 * 2.0**20, 1.5 * 2.0**30]
