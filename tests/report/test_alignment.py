"""The picture of the choice: similarity before training, the pairs, and attribution where there is some."""

from typing import Any

import pytest

from semalign.report.plots.alignment import alignment
from semalign.report.plots.canvas import Picture, style
from semalign.report.record import complete


def _drawn(record: dict[str, Any]) -> Picture:
    with style():
        found = alignment(complete(record))
    assert found is not None
    return found


def test_pairs_lie_over_the_untouched_students_similarity(record: dict[str, Any]) -> None:
    bars, map_ = _drawn(record).panels
    cka = record["diagnostics"]["student"]["cka"]
    assert map_["grid"]["values"] == [[round(value, 3) for value in row] for row in cka]
    assert map_["grid"]["paired"] == [(1, 5), (2, 7), (2, 8)]
    assert len(bars["marks"]) == 12
    assert [x for x, _, _ in bars["marks"]] == pytest.approx(map_["grid"]["x"], abs=0.1)  # a bar above its column
    assert map_["grid"]["y"] == sorted(map_["grid"]["y"], reverse=True)  # layer 0 at the bottom


def test_without_attribution_the_map_stands_alone(record: dict[str, Any]) -> None:
    record["attribution"] = None
    drawn = _drawn(record)
    assert len(drawn.panels) == 1
    assert "attribution" not in drawn.caption


@pytest.mark.parametrize("part", ["pairing", "diagnostics"])
def test_without_pairs_or_similarity_there_is_no_picture(record: dict[str, Any], part: str) -> None:
    record[part] = None
    assert alignment(complete(record)) is None
