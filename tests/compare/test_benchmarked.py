"""Benchmarks of planted runs in a comparison: means over seeds, paired changes, and what may not stand together."""

import pytest
from fake_runs import config_of, outcomes, write_run

from semalign.artifacts import read_json, write_json
from semalign.compare import compare
from semalign.errors import UserError
from semalign.evaluation.benchmarks.score import scored

ASKED = {"protocol": "paper", "template": "plain", "num_fewshot": None, "samples": None, "seed": 0}
SHARES = {"student": 0.25, "sft": 0.5, "semalign": 0.75, "teacher": 1.0}
N = 40


def write(folder, *, seed=0, shift=0.0, ids=None, asked=ASKED):
    """A run and the benchmark `gsm8k` of each of its models; with `shift` its students are right more often."""
    models = {name: {"sums": outcomes(share, seed)} for name, share in SHARES.items()}
    config = config_of(seed, evaluation={"benchmarks": asked})
    write_run(folder, models, config=config)
    for name, share in SHARES.items():
        is_trained = name in ("sft", "semalign")
        scored(
            task="gsm8k",
            protocol="paper",
            metric="exact_match",
            outcomes=outcomes(share + shift * is_trained, n=N),
            few_shot=0,
            ids=ids or [f"gsm_test_{i}" for i in range(N)],
            also={},
            settings={"sampling": "all"},
            samples=[],
            seconds=1.0,
        ).save(folder / "benchmarks" / name)
    record = read_json(folder / "record.json")
    write_json(folder / "record.json", {**record, "benchmarks": {"tasks": {"gsm8k": {}}}})
    return folder


def refused(*folders):
    with pytest.raises(UserError) as caught:
        compare(folders)
    return str(caught.value)


def test_scores_are_means_over_seeds_and_changes_are_paired_with_the_student(tmp_path):
    found = compare([write(tmp_path / "a"), write(tmp_path / "b", seed=1, shift=0.1)], tmp_path / "out")
    row = found["benchmarks"]["gsm8k"]
    assert {name: cell["score"] for name, cell in row.items()} == pytest.approx(
        {"student": 0.25, "sft": 0.55, "semalign": 0.8, "teacher": 1.0}
    )
    change = row["semalign"]["change"]
    assert change["value"] == pytest.approx(0.55)
    assert 0.3 < change["low"] < 0.55 < change["high"] < 0.8
    assert row["student"]["change"] is row["teacher"]["change"] is None
    assert (row["sft"]["rows"], row["sft"]["metric"]) == (N, "exact_match")
    assert read_json(tmp_path / "out" / "compare.json")["benchmarks"] == found["benchmarks"]
    written = (tmp_path / "out" / "compare.md").read_text("utf-8")
    assert "## Benchmarks: minus the student before, points" in written
    assert "| semalign | +55.0 (" in written


def test_runs_without_benchmarks_have_none(tmp_path):
    found = compare([write_run(tmp_path / "a", {name: {"sums": outcomes(x)} for name, x in SHARES.items()})])
    assert found["benchmarks"] == {}
    assert not any("benchmark" in note for note in found["notes"])


def test_where_only_some_runs_asked_they_are_left_out_with_a_note(tmp_path):
    models = {name: {"sums": outcomes(share, 1)} for name, share in SHARES.items()}
    found = compare([write(tmp_path / "a"), write_run(tmp_path / "b", models, config=config_of(1))])
    assert found["benchmarks"] == {}
    assert any(note.startswith("benchmarks are left out: ") for note in found["notes"])


def test_other_rows_are_refused(tmp_path):
    other = write(tmp_path / "b", seed=1, ids=[f"gsm_test_{i}" for i in range(1, N + 1)])
    assert "benchmark gsm8k was asked on other rows" in refused(write(tmp_path / "a"), other)


@pytest.mark.parametrize(
    ("part", "value"), [("protocol", "lm-eval"), ("template", "chat"), ("num_fewshot", 5), ("temperature", 0.8)]
)
def test_another_way_of_asking_is_refused(part, value, tmp_path):
    other = write(tmp_path / "b", seed=1, asked={**ASKED, part: value})
    assert f"evaluation.benchmarks.{part} is " in refused(write(tmp_path / "a"), other)
