"""report.md and report.html: complete, self-contained, inert, equal to the record."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from answered import write_answers
from pages import HOSTILE, Page, assert_loads_nothing, assert_own_scripts

from semalign.errors import UserError
from semalign.report import answer, write_report
from semalign.report.page import SECTIONS


def _write(folder: Path, record: Any) -> tuple[Page, str]:
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    write_report(folder)
    return _read(folder)


def _read(folder: Path) -> tuple[Page, str]:
    return Page((folder / "report.html").read_text("utf-8")), (folder / "report.md").read_text("utf-8")


def test_both_files_hold_every_section_and_the_answer(written: Path, record: Any) -> None:
    page, card = _read(written)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    sections = {name: title for name, title in SECTIONS.items() if name != "benchmarks"}  # which the run did not ask
    assert set(sections) <= set(ids)
    assert len(ids) == len(set(ids))
    assert [f"#{name}" for name in sections] == [a["href"] for tag, a in page.tags if tag == "a"][1 : len(sections) + 1]
    for title in list(sections.values())[1:]:
        assert f"## {title}" in card
    for text in (page.text, card):
        for words in (
            "Yes, it did better than LoRA-SFT",
            record["command"],
            record["warnings"][0],
            "2510.24208",
            "1312.6034",
            "0123abc",
        ):
            assert words in text
    assert answer(record).split(". ")[1] in card


def test_every_figure_is_drawn_and_has_words(written: Path) -> None:
    page, _ = _read(written)
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawings) == 13
    assert all(item["role"] == "img" and len(item["aria-label"] or "") > 40 for item in drawings)
    for words in ("correct (%)", "percentage points", "teacher layer", "cosine (1 is lossless)", "seconds", "GiB"):
        assert words in page.text


def test_nothing_is_loaded_from_elsewhere(written: Path) -> None:
    text = (written / "report.html").read_text("utf-8")
    assert_loads_nothing(text)
    assert len(text.encode()) < 3_000_000


def _poison(value: Any) -> Any:
    """Every text of a record made hostile, except the names that decide its structure."""
    if isinstance(value, dict):
        return {key: item if key in {"key", "role", "a", "b", "task"} else _poison(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_poison(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_text_is_inert(tmp_path: Path, record: Any) -> None:
    bad = _poison(record)
    bad["scores"] = {f"_{HOSTILE}{i}": row for i, row in enumerate(bad["scores"].values())}
    for step in bad["training"]["semalign"]:
        step["terms"], step["cosine"] = {HOSTILE: 1.0, "_b": 0.5}, {HOSTILE: 0.5}
    write_answers(tmp_path, words=HOSTILE)
    page, card = _write(tmp_path, bad)
    assert "img" not in {tag for tag, _ in page.tags}
    assert_own_scripts((tmp_path / "report.html").read_text("utf-8"))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "<script>alert(1)</script>" in page.text
    outside = re.sub(r"^(`{3,})\w*\n.*?\n\1$", "", card, flags=re.DOTALL | re.MULTILINE)
    assert "<script" not in outside
    assert "<img" not in outside
    assert "](http" not in outside.replace("\\]", "")
    assert not re.search(r"^# h", outside, re.MULTILINE)


def test_a_code_block_cannot_be_closed_from_inside(tmp_path: Path, record: Any) -> None:
    record["config"] = "a: 1\n```\n<script>\n````\n"
    _, card = _write(tmp_path, record)
    assert "`````yaml\na: 1\n```\n<script>\n````\n`````" in card


def test_numbers_in_the_tables_equal_the_record(written: Path, record: Any) -> None:
    page, card = _read(written)
    rows = [line for line in card.splitlines() if line.startswith("| LoRA-SFT (control)")]
    cells = [cell.strip() for cell in rows[0].strip("|").split("|")]
    for cell, row in zip(cells[1:5], record["scores"].values(), strict=True):
        score, low, high = map(float, re.findall(r"[\d.]+", cell))
        assert [score, low, high] == pytest.approx(
            [100 * row["sft"][name] for name in ("score", "low", "high")], abs=0.051
        )
    assert cells[5].startswith(f"{100 * record['mean_score']['sft']['value']:.1f}")
    assert cells[6].startswith("20.2")
    assert cells[8] == "24,576"
    for text in (card, page.text):
        assert all(words in text for words in ("7 (0.35) + 8 (0.65)", "16,401", "143.7", "0.412", "1 min 36 s"))


OPTIONAL = (
    *("attribution", "pairing", "basis", "training", "costs", "warnings", "citations", "notes", "differences", "tasks"),
    *("mean_score", "mean_gap", "environment", "config", "command", "student", "teacher", "seconds"),
)


@pytest.mark.parametrize("value", ["absent", None])
def test_every_optional_part_may_be_missing_at_once(tmp_path: Path, record: Any, value: Any) -> None:
    for part in OPTIONAL:
        record[part] = None
        if value == "absent":
            del record[part]
    page, card = _write(tmp_path, record)
    assert "No semantic map was used" in page.text
    assert "No semantic map was used" in card


def test_an_sft_only_run_is_reported(tmp_path: Path, record: Any) -> None:
    record["models"] = [model for model in record["models"] if model["key"] in ("student", "sft", "teacher")]
    for part in ("attribution", "pairing", "basis", "differences"):
        record[part] = None
    del record["training"]["semalign"]
    page, _ = _write(tmp_path, record)
    assert "No aligned student was trained" in page.text


def test_a_task_without_scores_says_why(tmp_path: Path, record: Any) -> None:
    for cell in record["scores"]["strings"].values():
        cell.update(score=None, low=None, high=None, reason="code is not run without a sandbox")
    page, card = _write(tmp_path, record)
    for text in (page.text, card):
        assert "strings has no score: code is not run without a sandbox." in text


def test_a_task_scored_by_likelihood_says_so(tmp_path: Path, record: Any) -> None:
    for cell in record["scores"]["strings"].values():
        cell.update(metric="byte_probability", reason="no sandbox")
    page, card = _write(tmp_path, record)
    for text in (page.text, card):
        assert "strings: answers were not checked (no sandbox); shown is the gold answers' probability a byte." in text
    assert "probability a byte (%)" in page.text


def test_without_matplotlib_the_report_says_how_to_get_pictures(
    tmp_path: Path, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("semalign.report.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["semalign.report"], "plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page, _ = _write(tmp_path, record)
    assert "pip install 'semalign[report]'" in page.text
    assert not any(tag == "svg" for tag, _ in page.tags)


@pytest.mark.slow
def test_a_long_deep_run_stays_small(tmp_path: Path, record: Any) -> None:
    step = record["training"]["semalign"][3]
    cosine = {f"{layer}->{layer}": 0.5 for layer in range(32)}
    record["training"]["semalign"] = [{**step, "step": i, "cosine": cosine} for i in range(2_000)]
    pairs = [{"student": i, "teacher": [{"layer": i + 8, "weight": 1.0}], "reason": "depth"} for i in range(32)]
    record["pairing"] |= {"n_student": 32, "n_teacher": 40, "pairs": pairs}
    cka = [[((7 * i + 3 * j) % 20) / 20 for j in range(40)] for i in range(32)]
    record["diagnostics"] = {key: {**probe, "cka": cka} for key, probe in record["diagnostics"].items()}
    _write(tmp_path, record)
    assert (tmp_path / "report.html").stat().st_size < 3_000_000


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "no such file"), ("{", "not valid JSON"), ("[]", "not the record"), ("{}", "no 'models'")],
)
def test_a_bad_record_is_one_line_and_writes_nothing(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "record.json").write_text(text)
    with pytest.raises(UserError, match=words):
        write_report(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"record.json"}


def test_the_same_record_gives_the_same_bytes(tmp_path: Path, written: Path, record: Any) -> None:
    write_answers(tmp_path)
    _write(tmp_path, record)
    for name in ("report.html", "report.md"):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


@pytest.mark.parametrize("mean_too", [True, False])
def test_a_single_task_is_shown_once(tmp_path: Path, record: Any, mean_too: bool) -> None:
    record["scores"] = {"facts": record["scores"]["facts"]}
    kept = ("mean", "facts") if mean_too else ("facts",)
    record["differences"] = [item for item in record["differences"] if item["task"] in kept]
    page, _ = _write(tmp_path, record)
    assert "mean of tasks" not in page.text
    assert "What alignment adds to the control" in page.text


def test_a_quantized_teacher_and_several_processes_are_said(tmp_path: Path, record: Any) -> None:
    record["teacher"]["quantization"] = "8bit"
    record["environment"] |= {"engine": "ddp", "processes": 2}
    record["warnings"].append("semalign: went back to step 20, the loss was not finite")
    page, card = _write(tmp_path, record)
    for text in (page.text, card):
        assert all(words in text for words in ("Quantization", "8bit", "ddp", "went back to step 20"))
