"""Row by row: gains and losses are counted, and what the page holds is bounded and changed rows come first."""

from pathlib import Path
from typing import Any

import pytest
from answered import write_answers
from jinja2.utils import htmlsafe_json_dumps

from semalign.artifacts import read_json, write_json
from semalign.report import read_record, rows


@pytest.fixture
def run(tmp_path: Path, record: Any) -> Path:
    write_json(tmp_path / "record.json", record)
    return tmp_path


def _browser(folder: Path) -> dict[str, Any]:
    record = read_record(folder)
    found = rows.browser(record, rows.read_rows(folder, record))
    assert found is not None
    return found


def test_gained_and_lost_rows_are_counted(run: Path) -> None:
    write_answers(run)
    record = read_record(run)
    table = rows.changes(record, rows.read_rows(run, record))
    assert table is not None
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["SemAlign − student before", "facts", "12", "4", "2", "6"],
        ["SemAlign − student before", "strings", "12", "4", "2", "6"],
        ["SemAlign − LoRA-SFT", "facts", "12", "3", "2", "7"],
        ["SemAlign − LoRA-SFT", "strings", "12", "3", "2", "7"],
    ]


def test_the_page_holds_changed_rows_first_and_then_some(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "QUIET_ROWS", 2)
    write_answers(run)
    found = _browser(run)
    kept = [row["id"] for row in found["tasks"][0]["rows"]]
    assert kept == [f"facts-{i:03d}" for i in (2, 3, 6, 7, 8, 9, 0, 1)]
    assert (found["shown"], found["all"]) == (16, 24)
    assert found["models"] == ["student before", "LoRA-SFT", "SemAlign", "teacher"]
    assert (found["models"][found["from"]], found["models"][found["to"]]) == ("student before", "SemAlign")


def test_a_run_of_many_long_rows_stays_within_its_room_for_all_tasks_alike(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "ROWS_BYTES", 30_000)
    monkeypatch.setattr(rows, "QUIET_ROWS", 100)
    write_answers(run, n=60, words="long " * 1_000)
    found = _browser(run)
    assert len(htmlsafe_json_dumps(found)) < 31_000
    counts = [len(task["rows"]) for task in found["tasks"]]
    assert min(counts) > 0
    assert max(counts) - min(counts) <= 1
    assert max(len(a[0]) for task in found["tasks"] for row in task["rows"] for a in row["answers"] if a) == 1_501


def test_a_long_prompt_keeps_its_end(run: Path) -> None:
    write_answers(run, tasks=("facts",))
    path = run / "eval/student/facts.json"
    held = read_json(path)
    held["samples"][2]["prompt"] = f"{'example ' * 500}the question"
    write_json(path, held)
    prompt = _browser(run)["tasks"][0]["rows"][0]["prompt"]
    assert prompt.startswith("…")
    assert prompt.endswith("the question")
    assert len(prompt) == 801


def test_several_draws_count_by_their_mean_and_likelihoods_by_more_than_noise(run: Path) -> None:
    told = {"id": 0, "prompt": "p", "gold": "g"}
    for key, outcomes, bits in (("student", [0.0, 1.0], 8.0), ("semalign", [1.0, 1.0], 7.9)):
        draws = {**told, "generations": ["first", "second"], "outcomes": outcomes}
        write_json(run / "benchmarks" / key / "humaneval.json", {"samples": [draws]})
        write_json(run / "eval" / key / "mbpp.json", {"samples": [{**told, "bits": bits, "bytes": 8}]})
    write_json(run / "benchmarks/student/evaluation.json", {"rows": 1})
    record = read_record(run)
    table = rows.changes(record, rows.read_rows(run, record))
    assert table is not None
    assert [[cell.text for cell in row.cells[1:]] for row in table.rows] == [
        ["mbpp", "1", "0", "0", "1"],
        ["benchmark humaneval", "1", "1", "0", "0"],
    ]
    (mbpp,), (humaneval,) = (task["rows"] for task in _browser(run)["tasks"])
    assert humaneval["answers"] == [["first", 0.5], ["first", 1.0]]
    assert mbpp["answers"][0] == [None, pytest.approx(0.5)]


def test_a_row_that_one_model_was_not_asked_counts_for_none(run: Path) -> None:
    write_answers(run, tasks=("facts",))
    path = run / "eval/semalign/facts.json"
    held = read_json(path)
    write_json(path, {**held, "samples": held["samples"][:6]})
    record = read_record(run)
    table = rows.changes(record, rows.read_rows(run, record))
    assert table is not None
    assert [cell.text for cell in table.rows[0].cells[2:]] == ["6", "0", "2", "4"]


def test_a_folder_without_rows_has_no_browser(run: Path) -> None:
    record = read_record(run)
    assert rows.read_rows(run, record) == []
    assert rows.browser(record, []) is None
    assert rows.changes(record, []) is None
