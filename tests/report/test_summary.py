"""summary.json has exactly the agreed form, and the terminal table says the same."""

import json
from typing import Any

import pytest
from rich.console import Console

from semalign.errors import UserError
from semalign.report import summary, terminal_table


def _printed(record: Any, width: int) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(terminal_table(record))
    return console.export_text()


def test_summary_has_the_agreed_form(record: Any) -> None:
    found = summary(record)
    assert list(found) == ["tasks", "mean_gap", "seconds", "peak_bytes", "versions"]
    assert found["tasks"]["facts"] == {
        "student": 0.42, "sft": 0.55, "semalign": 0.58, "teacher": 0.81, "teacher_adapted": 0.83
    }  # fmt: skip
    assert found["mean_gap"] == {"student": 0.435, "sft": 0.2025, "semalign": 0.145, "teacher_adapted": 0.025}
    assert found["versions"]["torch"] == "2.13.0"
    json.dumps(found, allow_nan=False)


def test_unmeasured_scores_stay_null(record: Any) -> None:
    record["scores"]["lists"]["semalign"]["score"] = None
    record["scores"]["strings"]["sft"]["score"] = float("nan")
    del record["scores"]["facts"]["teacher"]
    tasks = summary(record)["tasks"]
    assert (tasks["lists"]["semalign"], tasks["strings"]["sft"], tasks["facts"]["teacher"]) == (None, None, None)


def test_a_reader_finds_its_keys_in_a_run_without_the_method(record: Any) -> None:
    record["models"] = [model for model in record["models"] if model["role"] != "method"]
    del record["mean_gap"]["semalign"]
    assert summary(record)["mean_gap"]["semalign"] is None


def test_a_file_that_is_no_record_is_one_line() -> None:
    with pytest.raises(UserError, match="no 'models'"):
        summary({"scores": {}})


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_table_shows_every_model_and_interval(record: Any, width: int) -> None:
    text = _printed(record, width)
    for words in ("student before", "LoRA-SFT", "SemAlign", "teacher", "arithmetic", "58.0", "53–63", "14.5"):
        assert words in text
    assert "…" not in text


def test_terminal_table_prints_markup_in_names_as_text(record: Any) -> None:
    record["models"][2]["label"] = "[red]x[/red][link=a]"
    assert "[red]x[/red]" in _printed(record, 120)


def test_gaps_leave_out_only_the_teacher_they_are_measured_to(record: Any) -> None:
    record["reference"] = "teacher_adapted"
    assert set(summary(record)["mean_gap"]) == {"student", "sft", "semalign", "teacher"}


def test_terminal_table_says_when_a_score_is_a_likelihood(record: Any) -> None:
    record["scores"]["facts"]["sft"]["metric"] = "byte_probability"
    assert "not correct answers: facts" in " ".join(_printed(record, 120).split())
