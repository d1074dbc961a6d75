"""The numbers in docs/maps.md are those that the command on that page measures."""

import re
from pathlib import Path

import pytest

from semalign.config import Run
from semalign.inspect.measure_basis import measure

ROOT = Path(__file__).parents[2]
FIGURES = [
    *("agreement_top1", "agreement_top5", "row_correlation", "explained_variance", "explained_scaled", "cosine"),
    *("cka_after", "lens_top1", "lens_top5", "lens_correlation"),
]


@pytest.mark.slow
def test_the_table_of_the_page_is_measured():
    page = (ROOT / "docs" / "maps.md").read_text(encoding="utf-8")
    config = re.search(r"`semalign basis (\S+\.yaml)`", page)
    lines = [line.split("|")[1:-1] for line in page.splitlines() if line.count("|") == len(FIGURES) + 2]
    printed = {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in lines[2:]}
    assert config is not None
    measured = {row["basis"]: row for row in measure(Run.read(ROOT / config[1], ()))["maps"]}
    assert printed.keys() == measured.keys()
    for name, cells in printed.items():
        for figure, cell in zip(FIGURES, cells, strict=True):
            value = measured[name][figure]
            if value is None:
                assert cell == "–"
            else:  # another order of summation may turn a near tie of two tokens
                assert float(cell.replace("−", "-")) == pytest.approx(value, abs=0.01, rel=0.01)
