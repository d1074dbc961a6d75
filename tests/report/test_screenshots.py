"""Screenshots of the report and of the compare page; SEMALIGN_SCREENSHOTS names a folder that keeps them (docs/images).

SEMALIGN_RUN names a finished run to show; without it the record of these tests is shown. `make screenshots` sets both.
"""

import os
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from chrome import BROWSER, Chrome

from semalign.artifacts import read_json
from semalign.compare.write import write
from semalign.report import write_report

FIVE_SEEDS = Path(__file__).parents[2] / "docs/results/embedded.json"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine, so the page is not rendered"),
]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return Path(os.environ.get("SEMALIGN_SCREENSHOTS", tmp_path))


def _check(path: Path, width: int, height: int) -> None:
    image = np.asarray(matplotlib.image.imread(path))[:, :, :3]
    assert image.shape[:2] == (height, width)
    assert image.std() > 0.05  # an empty page is one colour
    assert path.stat().st_size < 400_000


@pytest.mark.parametrize(
    ("name", "place", "width", "dark"),
    [
        ("quickstart", "body", 1280, False),
        ("report-rows", "#rows", 1280, False),
        ("report-layers-dark", "#figure-alignment", 1280, True),
        ("report-narrow-dark", "body", 400, True),
    ],
)
def test_screenshots_of_the_report(
    *, chrome: Chrome, written: Path, kept: Path, name: str, place: str, width: int, dark: bool
) -> None:
    run = Path(os.environ.get("SEMALIGN_RUN", written))
    if run != written:
        write_report(run)
    chrome.complaints.clear()
    chrome.open((run / "report.html").resolve(), width=width, height=900, dark=dark)
    chrome.ask(f"document.querySelector({place!r}).scrollIntoView({{behavior: 'instant'}})")
    chrome.picture(kept / f"{name}.png")
    _check(kept / f"{name}.png", width, 900)
    assert chrome.complaints == []


@pytest.mark.parametrize(
    ("name", "place", "dark"), [("compare", "body", False), ("compare-tables-dark", "#table-1", True)]
)
def test_screenshots_of_the_compare_page(
    *, chrome: Chrome, tmp_path: Path, kept: Path, name: str, place: str, dark: bool
) -> None:
    write(read_json(FIVE_SEEDS), tmp_path / "found", "Every method on the embedded pair")
    page = tmp_path / "found/compare.html"
    assert page.stat().st_size < 3_000_000
    chrome.complaints.clear()
    chrome.open(page, height=900, dark=dark)
    chrome.ask(f"document.querySelector({place!r}).scrollIntoView({{behavior: 'instant'}})")
    chrome.picture(kept / f"{name}.png")
    _check(kept / f"{name}.png", 1280, 900)
    assert chrome.complaints == []


def test_the_compare_page_sorts_filters_and_says_its_values(chrome: Chrome, tmp_path: Path) -> None:
    write(read_json(FIVE_SEEDS), tmp_path / "found", "Every method")
    chrome.complaints.clear()
    chrome.open(tmp_path / "found/compare.html")
    table = "document.getElementById('table-1').closest('table')"
    names = f"[...{table}.querySelectorAll('tbody tr:not([hidden]) th')].map(cell => cell.textContent)"
    chrome.ask(f"{table}.querySelector('th:nth-child(2) button').click()")
    means = chrome.ask(f"[...{table}.querySelectorAll('tbody td:nth-child(2)')].map(cell => +cell.dataset.value)")
    assert means == sorted(means, reverse=True)
    assert chrome.ask(names)[0] == "teacher_adapted"
    chrome.ask(f"{table}.closest('.table').previousElementSibling.querySelector('input').focus()")
    chrome.write("seeking")
    assert sorted(chrome.ask(names)) == ["seeking", "seeking-random-layers", "seeking-random-window"]
    chrome.focus("#figure-standing .drawing")
    chrome.press("ArrowRight")
    said = chrome.ask("document.querySelector('#figure-standing .reading').textContent")
    assert said.startswith("Mean score: student: 34.5 (")
    assert chrome.ask("document.documentElement.scrollWidth <= innerWidth")
    assert chrome.complaints == []
