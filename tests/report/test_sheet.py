"""A sheet of an inspecting verb: inert, self-contained, whole or not there, with its numbers to the right."""

from pathlib import Path

import pytest
from pages import HOSTILE, Page, assert_loads_nothing

from semalign.errors import UserError
from semalign.report import SheetTable, write_sheet
from semalign.report.plots.canvas import Picture, panels, picture, style

TABLE = SheetTable("Ranking", ("layer", "score", "reason"), [("3", "−0.25", "best"), ("1", "–", "not measured")])


def _picture(name: str, words: str = "words") -> Picture:
    with style():
        figure, (panel,) = panels(1, 2.0, 1)
        panel.plot([0, 1, 2], [0.1, 0.5, 0.3])
        panel.set_title(words)
        return picture(name, words, words, "0.1 to 0.3", figure)


def _write(path: Path, **changes: object) -> tuple[Page, str]:
    given = {"title": "Layers", "lead": ["One sentence."], "tables": [TABLE], "pictures": [_picture("ranking")]}
    write_sheet(path, **{**given, **changes})  # pyright: ignore[reportArgumentType]
    text = path.read_text("utf-8")
    return Page(text), text


def test_a_sheet_holds_what_it_was_given(tmp_path: Path) -> None:
    page, text = _write(tmp_path / "sheet.html")
    for words in ("Layers", "One sentence.", "Ranking", "layer", "−0.25", "not measured"):
        assert words in page.text
    assert [attributes["role"] for tag, attributes in page.tags if tag == "svg"] == ["img"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert_loads_nothing(text)


def test_numbers_stand_right_and_words_left(tmp_path: Path) -> None:
    page, _ = _write(tmp_path / "sheet.html", pictures=())
    heads = [attributes.get("class") for tag, attributes in page.tags if tag == "th" and attributes["scope"] == "col"]
    assert heads == ["number", "number", None]


def test_hostile_text_is_inert(tmp_path: Path) -> None:
    table = SheetTable(HOSTILE, (HOSTILE, "b"), [(HOSTILE, "1"), ("2", HOSTILE)])
    page, text = _write(
        tmp_path / "sheet.html", title=HOSTILE, lead=[HOSTILE], tables=[table], pictures=[_picture("p", "<script>x")]
    )
    assert page.text.count("<script>alert(1)</script>") == 7  # title twice, lead, caption, column, two cells
    assert "img" not in {tag for tag, _ in page.tags}
    assert_loads_nothing(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tables": [SheetTable("Odd", ("a", "b"), [("1",)])]}, "table 'Odd': a row of 1 cells under 2 columns"),
        ({"pictures": [_picture("twice"), _picture("twice")]}, "same name"),
    ],
)
def test_a_bad_sheet_leaves_the_older_one(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    path = tmp_path / "sheet.html"
    path.write_text("older")
    with pytest.raises(ValueError, match=words):
        _write(path, **changes)
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("sheet.html", "older")]


def test_a_place_that_is_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        _write(tmp_path / "file" / "sheet.html")


def test_without_matplotlib_the_sheet_says_how_to_get_pictures(tmp_path: Path) -> None:
    page, _ = _write(tmp_path / "sheet.html", pictures=None)
    assert "pip install 'semalign[report]'" in page.text
    assert "pip install" not in _write(tmp_path / "sheet.html", pictures=())[0].text


def test_a_number_with_its_interval_and_a_time_are_numbers(tmp_path: Path) -> None:
    rows = [("a", "34.5 (−3.1 to +38.3) +", "1 min 36 s"), ("b", "–", "9.5 s"), ("c", "+4.0 (1.0 to 9.0)", "–")]
    page, text = _write(tmp_path / "sheet.html", tables=[SheetTable("t", ("m", "x", "time"), rows)], pictures=())
    heads = [attributes.get("class") for tag, attributes in page.tags if tag == "th" and attributes["scope"] == "col"]
    assert heads == [None, "number", "number"]
    assert ">34.5 +<small>−3.1 to +38.3</small>" in text


def test_a_sheet_begins_with_its_answer_and_ends_with_how_to_repeat_it(tmp_path: Path) -> None:
    page, _ = _write(tmp_path / "sheet.html", answer=["It helped.", "By much."], repeat={"Configuration": "a: <1>\n"})
    said = [page.text.index(words) for words in ("It helped.", "By much.", "One sentence.", "Ranking", "a: <1>")]
    assert said == sorted(said)


def test_a_long_sheet_lists_its_contents(tmp_path: Path) -> None:
    tables = [SheetTable(f"Table {i}", ("a",), [("1",)]) for i in range(5)]
    page, text = _write(tmp_path / "sheet.html", tables=tables, pictures=())
    assert [attributes["href"] for tag, attributes in page.tags if tag == "a"][1:] == [f"#table-{i}" for i in range(5)]
    assert_loads_nothing(text)
