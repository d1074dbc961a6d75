"""The teacher's answers in a report: how many, the first of each task, and which models were trained on them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pages import HOSTILE, Page, assert_own_scripts

from semalign.report import answered, details, overlapping, tables, write_report
from semalign.report.record import complete


@pytest.fixture
def asked(record: Any) -> Any:
    """The record of a run whose teacher answered prompts of two tasks, and whose method was trained on both."""
    control, method = (next(m for m in record["models"] if m["key"] == key) for key in ("sft", "semalign"))
    control["method"], method["method"]["answers"] = {"name": "sft"}, "both"
    for task in record["tasks"][:2]:
        task["rows"]["prompts"] = {"rows": 29, "tokens": 1_234, "supervised": 321, "truncated": 0}
    record["answers"] = {
        "tasks": {
            "facts": {"prompts": 40, "answers": 29, "unended": 8, "empty": 3},
            "arithmetic": {"prompts": 1_500, "answers": 29, "unended": 1_471, "empty": 0},
        },
        "first": {
            "facts": {"id": "facts-train-007", "prompt": "Where is A?\nAnswer:", "answer": " In B."},
            "arithmetic": {"id": "a-1", "prompt": "start" + "7 " * 2_000 + "end", "answer": "8 " * 3_000},
        },
    }
    return record


def _write(folder: Path, record: Any) -> tuple[str, str]:
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    write_report(folder)
    return (folder / "report.html").read_text("utf-8"), (folder / "report.md").read_text("utf-8")


def _cells(table: tables.Table | None) -> list[list[str]]:
    assert table is not None
    return [[cell.text for cell in row.cells] for row in table.rows]


def test_the_counts_are_those_of_the_record(asked: Any) -> None:
    expected = [["facts", "40", "29", "8", "3"], ["arithmetic", "1,500", "29", "1,471", "0"]]
    assert _cells(answered.answers(complete(asked))) == expected


def test_both_forms_show_counts_and_first_answers(tmp_path: Path, asked: Any) -> None:
    html, card = _write(tmp_path, asked)
    assert "| arithmetic | 1,500 | 29 | 1,471 | 0 |" in card
    for text in (Page(html).text, card):
        for words in (
            "Prompts that the teacher answered",
            "Where is A?\nAnswer:",
            " In B.",
            "facts-train-007",
            "1,471",
        ):
            assert words in text
    folded = re.findall(r"<details>.*?</details>", html + card, flags=re.DOTALL)
    assert sum(" In B." in part for part in folded) == 2
    assert (html + card).count(" In B.") == 2


def test_long_texts_are_cut_where_they_say_least(tmp_path: Path, asked: Any) -> None:
    for text in _write(tmp_path, asked):
        assert "start7" not in text
        assert "7 end" in text
        assert "8 " * 700 in text
        assert "8 " * 800 not in text


def test_hostile_answers_are_inert(tmp_path: Path, asked: Any) -> None:
    bad = f"{HOSTILE}\n```\n# h <img src=x>"
    asked["answers"] = {
        "tasks": {HOSTILE: {"prompts": 1, "answers": 1, "unended": 0, "empty": 0}},
        "first": {HOSTILE: {"id": HOSTILE, "prompt": bad, "answer": bad}},
    }
    html, card = _write(tmp_path, asked)
    page = Page(html)
    assert "img" not in {tag for tag, _ in page.tags}
    assert_own_scripts(html)
    outside = re.sub(r"^(`{3,})\w*\n.*?\n\1$", "", card, flags=re.DOTALL | re.MULTILINE)
    assert "<script" not in outside
    assert "<img" not in outside
    assert not re.search(r"^# h", outside, re.MULTILINE)


def test_the_split_is_called_what_it_holds(asked: Any) -> None:
    splits = [row[1] for row in _cells(tables.data(complete(asked)))]
    assert splits.count("prompts answered by the teacher") == 2
    assert "prompts" not in splits


def test_each_training_says_what_it_was_on(asked: Any) -> None:
    shown = {row[0]: row[1] for row in _cells(details.training(complete(asked)))}
    assert shown == {"LoRA-SFT": "gold answers", "SemAlign": "gold and the teacher's answers"}


def test_rows_looked_through_for_overlap_are_named(asked: Any) -> None:
    asked["overlap"] = {"action": "report", "n": 13, "training_rows": 400, "rows": 0, "pairs": []}
    assert "(train, align, extract and prompts)" in overlapping.said(complete(asked))


def test_a_run_without_prompts_says_nothing_of_them(written: Path, record: Any) -> None:
    full = complete(record)
    assert (answered.answers(full), answered.first(full)) == (None, [])
    training = details.training(full)
    assert training is not None
    assert "Trained on" not in [column.title for column in training.columns]
    for name in ("report.html", "report.md"):
        assert "teacher answered" not in (written / name).read_text("utf-8")


def test_a_task_without_an_answer_has_no_first_one(tmp_path: Path, asked: Any) -> None:
    asked["answers"]["first"] = {}
    html, card = _write(tmp_path, asked)
    assert "first answer" not in html + card
    assert "1,471" in card
