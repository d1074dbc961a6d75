"""Diagnostics in a report: what the probes found, the stages of a schedule, balanced weights, older records."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from answered import write_answers
from pages import Page

from semalign.report import write_report
from semalign.report.diagnosed import layers, pair_cka, table, through
from semalign.report.page import content
from semalign.report.record import complete
from semalign.report.stages import balanced, stage_name, stages

NEW_IN_STEPS = ("probe", "stage", "weights", "supervised", "term_gradient_norms")


def _write(folder: Path, record: Any) -> tuple[Page, str]:
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    write_report(folder)
    return Page((folder / "report.html").read_text("utf-8")), (folder / "report.md").read_text("utf-8")


def _older(record: Any) -> Any:
    """The record as runs wrote it before there were diagnostics."""
    del record["diagnostics"], record["basis"]["layers"]
    for pair in record["pairing"]["pairs"]:
        del pair["similarity"]
    for steps in record["training"].values():
        for step in steps:
            for name in NEW_IN_STEPS:
                step.pop(name, None)
    return record


def test_a_record_without_diagnostics_is_reported(tmp_path: Path, record: Any) -> None:
    page, card = _write(tmp_path, _older(record))
    for text in (page.text, card):
        assert "The run recorded no diagnostics." in text
        assert "7 (0.35) + 8 (0.65)" in text
        for absent in ("before training", "The map at each pair", "set by gradient norm", "Logit-lens"):
            assert absent not in text
    assert sum(tag == "svg" for tag, _ in page.tags) == 8


def test_tables_hold_what_the_probes_found(tmp_path: Path, record: Any) -> None:
    page, card = _write(tmp_path, record)
    row = next(line for line in card.splitlines() if line.startswith("| SemAlign | 65.0"))
    kl = record["diagnostics"]["semalign"]["lens_kl"]
    assert [float(cell) for cell in row.split("|")[3:5]] == pytest.approx([kl[-1], sum(kl) / 4], abs=5e-4)
    for text in (page.text, card):
        for words in ("0.613", "0.331", "share of variance", f"{kl[2]:.3f}", "26.5"):
            assert words in text
    labels = [str(attributes["aria-label"]) for tag, attributes in page.tags if tag == "svg"]
    assert any("Agreement: LoRA-SFT 41.0 to 53.0 %" in words for words in labels)
    assert any("output_cosine 0.00" in words for words in labels)  # gradient norms at the end


def test_probes_are_counted_by_the_steps_behind_them(record: Any) -> None:
    found = through(complete(record), "semalign")
    assert [step for step, _ in found] == [0, 1, 21, 41, 61, 81, 101, 119]
    assert found[0][1] == record["diagnostics"]["student"]
    assert found[1][1] == record["training"]["semalign"][0]["probe"]
    assert found[-1][1] == record["diagnostics"]["semalign"]


def test_the_mean_over_pairs_weighs_mixtures(record: Any) -> None:
    full = complete(record)
    matrix = [[0.0] * 12 for _ in range(4)]
    matrix[1][5], matrix[2][7], matrix[2][8] = 0.9, 0.5, 0.3
    assert pair_cka(full, matrix) == pytest.approx((0.9 + 0.35 * 0.5 + 0.65 * 0.3) / 2)
    assert pair_cka({**full, "pairing": None}, matrix) is None


@pytest.mark.parametrize("missing", ["cka", "lens_kl", "agreement"])
def test_any_measure_may_be_missing(tmp_path: Path, record: Any, missing: str) -> None:
    for probe in [
        *record["diagnostics"].values(),
        *(step["probe"] for steps in record["training"].values() for step in steps if "probe" in step),
    ]:
        probe.pop(missing, None)
    page, _ = _write(tmp_path, record)
    assert "How near each student came to the teacher" in page.text
    assert (layers(complete(record)) is None) == (missing == "lens_kl")
    assert ("How alike the layers are" in page.text) == (missing != "cka")


def test_probes_without_training_steps_are_shown(record: Any) -> None:
    record["training"] = {}
    full = complete(record)
    found = table(full)
    assert found is not None
    assert len(found.rows) == 3
    assert [step for step, _ in through(full, "semalign")] == [0]


def test_stages_are_named_by_their_layers(record: Any) -> None:
    starts = stages(record["training"]["semalign"])
    assert [(start["step"], stage_name(start)) for start in starts] == [(0, "layer 1"), (60, "layer 2")]
    assert stage_name({"stage": 0, "cosine": {"1->0": 0.5, "2+3->1": 0.1}}) == "layers 0, 1"
    assert stage_name({"stage": 2, "cosine": {}}) == "stage 3"
    assert stages(record["training"]["sft"]) == []


def test_balanced_weights_are_said_in_words(tmp_path: Path, record: Any) -> None:
    (sentence,) = balanced(complete(record))
    assert sentence == (
        "SemAlign: the weights of its terms were set by gradient norm (layer 1: latent_cosine 0.412, output_cosine 1; "
        "layer 2: latent_cosine 0.687, output_cosine 1)."
    )
    for step in record["training"]["semalign"]:
        del step["stage"]
    assert balanced(complete(record)) == (
        "SemAlign: the weights of its terms were set by gradient norm (latent_cosine 0.412, output_cosine 1).",
    )
    page, card = _write(tmp_path, record)
    assert "output_cosine 1)." in page.text
    assert "output_cosine 1)." in card.replace("\\", "")


def test_stages_are_marked_in_the_loss_picture(tmp_path: Path, record: Any) -> None:
    page, _ = _write(tmp_path, record)
    assert "a stage of the schedule begins" in page.text
    assert re.search(r"layer 2\s", page.text)


def test_a_run_of_fine_tuning_alone_claims_no_control(tmp_path: Path, record: Any) -> None:
    record["models"] = [
        {**model, "role": "method" if model["key"] == "sft" else model["role"]}
        for model in record["models"]
        if model["key"] != "semalign"
    ]
    for part in ("attribution", "pairing", "basis"):
        record[part] = None
    record["differences"] = [
        {"a": "sft", "b": "student", "task": "mean", "value": 0.2, "low": 0.1, "high": 0.3},
    ]
    del record["training"]["semalign"], record["diagnostics"]["semalign"]
    page, card = _write(tmp_path, record)
    for text in (page.text.partition("Skip to the report")[2], card):
        assert "What did LoRA-SFT change in embedded:student, beside embedded:teacher?" in text
        assert "control" not in text.lower()
        assert "aligning" not in text


def test_the_question_names_no_control_that_the_run_lacks(record: Any) -> None:
    record["models"] = [model for model in record["models"] if model["key"] != "sft"]
    assert content(complete(record), [])["question"] == "Did aligning embedded:student to embedded:teacher help?"


@pytest.mark.slow
def test_maps_of_deep_models_stay_small(tmp_path: Path, record: Any) -> None:
    methods = [{"key": f"m{i}", "label": f"method {i}", "role": "control"} for i in range(8)]
    record["models"] += methods
    cka = [[((7 * i + 3 * j) % 20) / 20 for j in range(80)] for i in range(36)]
    record["diagnostics"] |= {model["key"]: {"cka": cka, "lens_kl": [0.5] * 36, "agreement": 0.5} for model in methods}
    record["diagnostics"] = {key: {**probe, "cka": cka} for key, probe in record["diagnostics"].items()}
    write_answers(tmp_path, n=400, words="long <answer> " * 30)
    page, _ = _write(tmp_path, record)
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
    assert 100 < int(re.findall(r"The page holds (\d+) of 800 scored rows", page.text)[0]) < 800
