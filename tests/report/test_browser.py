"""The page in headless Chromium: it renders, in light and dark, without a console error, and answers mouse and keys."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from chrome import BROWSER, Chrome

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine, so the page is not rendered"),
]


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with Chrome(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(chrome: Chrome, written: Path) -> Iterator[Chrome]:
    """The report, just opened; afterwards nothing was complained of."""
    chrome.complaints.clear()
    chrome.open(written / "report.html")
    yield chrome
    assert chrome.complaints == []


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_page_renders_in_light_and_dark(page: Chrome, written: Path, tmp_path: Path, dark: bool, width: int) -> None:
    page.open(written / "report.html", width=width, dark=dark)
    page.picture(tmp_path / "page.png")
    image = np.asarray(matplotlib.image.imread(tmp_path / "page.png"))[:, :, :3]
    assert image.shape[:2] == (900, width)
    assert (np.median(image) > 0.5) != dark
    assert image.std() > 0.05  # an empty page is one colour
    assert page.ask("document.documentElement.scrollWidth <= innerWidth")  # only tables and pictures scroll sideways


def test_the_browser_keeps_every_figure_and_section(page: Chrome) -> None:
    assert page.ask("document.querySelectorAll('.drawing > svg').length") == 12
    assert page.ask("document.querySelectorAll('main > section').length") == 11
    boxes = page.ask("[...document.querySelectorAll('.drawing > svg')].map(s => s.getBoundingClientRect().height)")
    assert min(boxes) > 50


def _column(page: Chrome, place: int) -> list[str]:
    cells = f"#results > .table tbody tr > :nth-child({place})"
    return page.ask(f"[...document.querySelectorAll({cells!r})].map(cell => cell.firstChild.textContent)")


def test_a_table_sorts_by_mouse_and_by_keys_and_goes_back(page: Chrome) -> None:
    head = "#results > .table thead th:nth-child(3)"
    written = _column(page, 3)
    page.click(f"{head} button")
    assert _column(page, 3) == sorted(written, key=float, reverse=True)
    assert page.ask(f"document.querySelector({head!r}).ariaSort") == "descending"
    page.focus(f"{head} button")
    page.press("Enter")
    assert _column(page, 3) == sorted(written, key=float)
    page.press("Space")
    assert _column(page, 3) == written
    assert page.ask("document.querySelectorAll('[aria-sort]').length") == 0


def test_names_sort_as_names_and_a_total_stays_below(page: Chrome) -> None:
    page.click("#cost thead th:first-child button")
    stages = page.ask("[...document.querySelectorAll('#cost tbody th')].map(cell => cell.textContent)")
    assert stages[-1] == "whole run"
    assert stages[:-1] == sorted(stages[:-1])
    page.click("#cost thead th:nth-child(2) button")
    times = page.ask("[...document.querySelectorAll('#cost tbody td:nth-child(2)')].map(cell => cell.textContent)")
    assert times[:2] == ["38.0 s", "21.7 s"]
    assert times[-1] == "1 min 36 s"


def test_without_scripts_the_page_says_the_same(page: Chrome, written: Path) -> None:
    with_scripts = page.ask("document.querySelectorAll('main table').length")
    page.open(written / "report.html", script=False)
    assert page.ask("document.querySelectorAll('main table').length") == with_scripts
    assert page.ask("document.querySelectorAll('button').length") == 0
