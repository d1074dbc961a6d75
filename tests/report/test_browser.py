"""The page in headless Chromium: it renders, in light and dark, without a console error, and answers mouse and keys."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from answered import write_answers
from chrome import BROWSER, Chrome
from pages import HOSTILE

from semalign.report import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine, so the page is not rendered"),
]


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
    assert page.ask("document.querySelectorAll('.drawing > svg').length") == 13
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


def _listed(page: Chrome) -> list[str]:
    return page.ask("[...document.querySelectorAll('#row-browser li')].map(item => item.lastChild.textContent)")


def _choose(page: Chrome, name: str, text: str) -> None:
    """As a person does with the keys: the first letters of the option."""
    page.focus(f"#row-browser [name={name}]")
    page.write(text) if name == "search" else [page.press(letter) for letter in text]


def test_the_page_opens_at_its_answer(page: Chrome) -> None:
    assert page.ask("scrollY") == 0
    assert page.ask("document.querySelector('.headline').getBoundingClientRect().bottom < innerHeight")


def test_rows_are_filtered_by_task_change_and_words(page: Chrome) -> None:
    assert page.ask("document.querySelectorAll('#row-browser li').length") == 12  # 4 gained and 2 lost of two tasks
    _choose(page, "show", "lo")
    items = page.ask("[...document.querySelectorAll('#row-browser li')].map(item => item.textContent)")
    assert items == [f"− {task}-{i:03d} lost" for task in ("facts", "strings") for i in (2, 3)]
    _choose(page, "task", "st")
    assert page.ask("document.querySelector('#row-browser output').textContent") == "2 of 24 rows listed."
    _choose(page, "show", "al")
    _choose(page, "search", "row 7 is 49")
    assert page.ask("document.querySelectorAll('#row-browser li').length") == 1
    assert "strings-007" in page.ask("document.querySelector('#row-browser article').textContent")


def test_a_row_shows_both_answers_and_the_words_that_differ(page: Chrome) -> None:
    _choose(page, "show", "ga")
    page.focus("#row-browser ul")
    page.press("End")
    page.press("ArrowUp")
    shown = "document.querySelector('#row-browser article')"
    assert "strings · strings-008 gained" in page.ask(f"{shown}.querySelector('h3').textContent")
    old, new = (page.ask(f"[...{shown}.querySelectorAll('{kind}')].map(e => e.textContent)") for kind in ("del", "ins"))
    assert old == ["what student says"]
    assert new == ["64"]
    chosen = page.ask("document.querySelector('#row-browser ul').getAttribute('aria-activedescendant')")
    assert page.ask(f"document.getElementById({chosen!r}).ariaSelected") == "true"
    page.click("#row-browser li:first-child")
    assert "facts-006" in page.ask(f"{shown}.querySelector('h3').textContent")


def test_words_that_differ_are_the_fewest(page: Chrome) -> None:
    runs = page.ask("wordDiff('a b c d', 'a x c d e')")
    assert runs == [["same", "a "], ["del", "b"], ["ins", "x"], ["same", " c d"], ["ins", " e"]]
    assert page.ask("wordDiff('', 'new')") == [["ins", "new"]]
    assert page.ask("wordDiff('same', 'same')") == [["same", "same"]]


def test_hostile_answers_are_read_as_text(chrome: Chrome, tmp_path: Path, record: Any) -> None:
    (tmp_path / "record.json").write_text(json.dumps(record))
    write_answers(tmp_path, words=f"</script>{HOSTILE}")
    write_report(tmp_path)
    chrome.complaints.clear()
    chrome.open(tmp_path / "report.html")
    _choose(chrome, "show", "all")
    assert "</script><script>alert(1)" in chrome.ask("document.querySelector('#row-browser article').textContent")
    assert chrome.ask("document.images.length + document.querySelectorAll('script:not([type])').length") == 0
    assert chrome.complaints == []


def test_without_scripts_the_page_says_the_same(page: Chrome, written: Path) -> None:
    with_scripts = page.ask("document.querySelectorAll('main table').length")
    page.open(written / "report.html", script=False)
    assert page.ask("document.querySelectorAll('main table').length") == with_scripts
    assert page.ask("document.querySelectorAll('button').length") == 0


def _reading(page: Chrome, name: str) -> str:
    return page.ask(f"document.querySelector('#figure-{name} .reading').textContent")


def test_a_picture_says_what_is_under_the_mouse(page: Chrome) -> None:
    page.click("#figure-losses svg", move_only=True)
    assert re.fullmatch(r"(LoRA-SFT|SemAlign): step \d+(; \w+ [\d.]+)+", _reading(page, "losses"))
    page.click("h1", move_only=True)
    assert _reading(page, "losses") == ""


def test_a_heat_map_is_read_with_the_keys(page: Chrome, record: Any) -> None:
    page.focus("#figure-similarity .drawing")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.press(key)
    value = record["diagnostics"]["student"]["cka"][1][1]
    assert _reading(page, "similarity") == f"student before: student layer 1, teacher layer 1: CKA {value:.3f}"
    page.press("+")
    assert page.ask("document.querySelector('#figure-similarity .tools button').hidden") is False
    page.press("0")
    assert page.ask("document.querySelector('#figure-similarity .tools button').hidden") is True


def test_a_curve_is_hidden_and_said_no_more(page: Chrome) -> None:
    page.focus("#figure-basis .drawing")
    page.press("ArrowRight")
    assert "; random 0." in _reading(page, "basis")
    page.click("#figure-basis .tools button:nth-child(3)")
    assert page.ask("document.querySelector('#figure-basis .tools button:nth-child(3)').ariaPressed") == "false"
    hidden = "[...document.querySelectorAll('#figure-basis svg g')].filter(g => g.style.visibility === 'hidden').length"
    assert page.ask(hidden) == 2
    page.focus("#figure-basis .drawing")
    page.press("ArrowRight")
    assert "cosine 0." in _reading(page, "basis")
    assert "random" not in _reading(page, "basis")


def test_every_picture_can_be_read(page: Chrome) -> None:
    silent = "[...document.querySelectorAll('figure')].filter(f => !f.querySelector('.readings')).map(f => f.id)"
    assert page.ask(silent) == []


def test_everything_that_answers_has_a_name(page: Chrome) -> None:
    """Buttons, fields and focusable boxes as a screen reader hears them."""
    page("Accessibility.enable")
    nodes = page("Accessibility.getFullAXTree")["nodes"]
    page("Accessibility.disable")
    kinds = {"button", "combobox", "searchbox", "link", "listbox", "option", "region", "image"}
    heard = [node for node in nodes if not node["ignored"] and node["role"]["value"] in kinds]
    assert len(heard) > 100
    assert [node["role"]["value"] for node in heard if not node.get("name", {}).get("value")] == []
    roles = [node["role"]["value"] for node in nodes]
    assert roles.count("main") == 1
    assert roles.count("navigation") == 1
