"""The benchmarks of a run in its report: before, after and teacher, with errors, intervals and how they were asked."""

import json
from typing import Any

import pytest
from pages import Page

from semalign.report import benchmark_table, summary, write_report
from semalign.report.benchmarked import differences, scores
from semalign.report.overlapping import overlap, said
from semalign.report.record import complete

SCORES = {"mmlu": (0.25, 0.27, 0.31, 0.42), "gsm8k": (0.1, 0.2, 0.4, 0.5)}
MODELS = ("student", "sft", "semalign", "teacher")


@pytest.fixture
def asked(record: Any) -> Any:
    record["benchmarks"] = {
        "protocol": "lm-eval",
        "template": "chat",
        "limit": 40,
        "seed": 0,
        "tasks": {
            task: {
                "metric": "exact_match",
                "few_shot": few_shot,
                "rows": 40,
                "sampling": "40 of 1319 rows, a fixed random sample (seed 0)",
                "scores": {
                    name: {"score": value, "low": value - 0.1, "high": value + 0.1, "standard_error": 0.05}
                    for name, value in zip(MODELS, row, strict=True)
                },
            }
            for (task, row), few_shot in zip(SCORES.items(), (0, 5), strict=True)
        },
        "mean_score": {name: {"value": 0.3, "low": 0.2, "high": 0.4} for name in MODELS},
        "differences": [
            {"a": a, "b": b, "task": task, "value": 0.06, "low": -0.01, "high": 0.13}
            for a, b in (("sft", "student"), ("semalign", "student"), ("semalign", "sft"))
            for task in (*SCORES, "mean")
        ],
    }
    record["overlap"] = {
        "action": "report",
        "n": 13,
        "training_rows": 400,
        "rows": 2,
        "pairs": [{"training": "t row 'a'", "evaluation": "t row 'b'", "words": "one two <three>"}],
    }
    return record


def test_before_after_and_teacher_stand_in_one_table_with_errors_and_intervals(asked: Any) -> None:
    table = scores(complete(asked))
    assert table is not None
    rows = {row.cells[0].text: row.cells for row in table.rows}
    assert list(rows)[:4] == ["student before", "LoRA-SFT", "SemAlign", "teacher"]
    assert (rows["student before"][1].text, rows["student before"][1].note) == ("25.0 ± 5.0", "15.0–35.0")
    assert rows["SemAlign"][2].text == "40.0 ± 5.0"
    assert rows["teacher, adapted"][1].text == "–"  # not asked of it
    assert table.notes[0].startswith("Asked by lm-eval's own tasks, chat template.")
    assert table.notes[1] == (
        "mmlu: no solved examples in the prompt, 40 of 1319 rows, a fixed random sample (seed 0)."
    )
    assert "5 solved examples" in table.notes[2]


def test_each_change_has_a_paired_interval(asked: Any) -> None:
    table = differences(complete(asked))
    assert table is not None
    assert [row.cells[0].text for row in table.rows] == [
        "LoRA-SFT − student before",
        "SemAlign − student before",
        "SemAlign − LoRA-SFT",
    ]
    assert {(cell.text, cell.note) for row in table.rows for cell in row.cells[1:]} == {("+6.0", "−1.0 to +13.0")}


def test_one_benchmark_has_no_mean(asked: Any) -> None:
    del asked["benchmarks"]["tasks"]["gsm8k"]
    for table in (scores(complete(asked)), differences(complete(asked))):
        assert table is not None
        assert [column.title for column in table.columns][1:] == ["mmlu"]


def test_pass_at_k_is_a_column_that_no_mean_counts(asked: Any) -> None:
    tasks = asked["benchmarks"]["tasks"]
    del tasks["gsm8k"]
    draws = {"count": 20, "temperature": 0.8, "seed": 0}
    tasks["mmlu"] |= {"benchmark": "mmlu", "draws": draws}
    tasks["mmlu pass@10"] = {**tasks["mmlu"], "metric": "pass@10"}
    asked["benchmarks"]["differences"] += [
        {**item, "task": "mmlu pass@10"} for item in asked["benchmarks"]["differences"] if item["task"] == "mmlu"
    ]
    for table in (scores(complete(asked)), differences(complete(asked))):
        assert table is not None
        assert [column.title for column in table.columns][1:] == ["mmlu", "mmlu pass@10"]
    told = scores(complete(asked))
    assert told is not None
    (note,) = told.notes[1:]
    assert note.endswith("(seed 0), 20 answers to each prompt at temperature 0.8.")


def test_page_card_and_summary_hold_them(asked: Any, tmp_path: Any) -> None:
    (tmp_path / "record.json").write_text(json.dumps(asked), encoding="utf-8")
    write_report(tmp_path)
    html, card = ((tmp_path / name).read_text("utf-8") for name in ("report.html", "report.md"))
    for text in (Page(html).text, card):
        assert "40.0 ± 5.0" in text
        assert "SemAlign − student before" in text
        assert "2 of 400 training rows (train, align and extract) share 13 words in a row" in text
    assert "<three>" not in html
    assert html.count("<svg") == 14
    assert summary(asked)["benchmarks"]["gsm8k"] == dict(zip(MODELS, SCORES["gsm8k"], strict=True)) | {
        "teacher_adapted": None
    }


def test_a_run_without_benchmarks_has_no_section_of_them(asked: Any, tmp_path: Any) -> None:
    pages = {}
    for name, held in (("asked", asked), ("not asked", {**asked, "benchmarks": None})):
        (tmp_path / "record.json").write_text(json.dumps(held), encoding="utf-8")
        write_report(tmp_path)
        pages[name] = [(tmp_path / file).read_text("utf-8") for file in ("report.html", "report.md")]
    for mark in ('<section id="benchmarks">', '<a href="#benchmarks">'):
        assert [mark in html for html, _ in pages.values()] == [True, False]
    assert ["## Benchmarks" in card for _, card in pages.values()] == [True, False]


def test_a_run_without_benchmarks_has_no_numbers_of_them(record: Any) -> None:
    full = complete(record)
    assert (scores(full), differences(full), benchmark_table(record), overlap(full), said(full)) == (
        None,
        None,
        None,
        None,
        "",
    )
    assert "benchmarks" not in summary(record)


def test_no_overlap_is_said_too(asked: Any) -> None:
    asked["overlap"] |= {"rows": 0, "pairs": []}
    full = complete(asked)
    assert overlap(full) is None
    assert said(full).startswith("0 of 400 training rows")


def test_the_terminal_shows_every_model_and_benchmark(asked: Any) -> None:
    table = benchmark_table(asked)
    assert table is not None
    assert [str(column.header) for column in table.columns] == ["", "mmlu", "gsm8k", "Mean"]
    assert table.row_count == 5
