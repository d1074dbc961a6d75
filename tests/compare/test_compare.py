"""Comparisons of planted runs: what is found, what is refused, what is written."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from fake_runs import config_of, outcomes, write_run, write_sweep
from rich.console import Console

from semalign.artifacts import read_json, write_json
from semalign.compare import compare, lead, terminal_tables
from semalign.compare.words import conclusion
from semalign.errors import UserError

PLANTED = {"good": 0.8, "same": 0.5, "bad": 0.1, "critical": None}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("sweep") / "swept", PLANTED)


@pytest.fixture(scope="module")
def found(swept):
    return compare([swept])


def models(**shares):
    values = {"student": 0.2, "sft": 0.4, "semalign": 0.5, "teacher": 0.9, **shares}
    return {name: {"sums": outcomes(share)} for name, share in values.items()}


def difference(found, a, b, task="mean"):
    return next(d for d in found["differences"] if (d["a"], d["b"], d["task"]) == (a, b, task))


def refused(folders, **options):
    with pytest.raises(UserError) as caught:
        compare(folders, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# numbers


def test_names_are_the_models_of_the_base_and_the_variants(found):
    names = {"student", "sft", "base", "teacher", *(f"pairing={label}" for label in PLANTED)}
    assert found["methods"].keys() == names
    assert all(row.keys() == names for row in found["tasks"].values())
    assert (found["base"], found["control"], found["reference"]) == ("base", "sft", "teacher")
    assert found["seeds"] == [0, 1, 2]


def test_scores_are_means_over_seeds_and_gaps_are_to_the_teacher(found):
    for name, share in {"student": 2 / 12, "sft": 5 / 12, "base": 6 / 12, "pairing=good": 10 / 12}.items():
        method = found["methods"][name]
        assert method["mean_score"]["value"] == pytest.approx(share)
        assert method["mean_gap"]["value"] == pytest.approx(abs(share - 11 / 12))
        assert method["mean_gap"]["low"] <= method["mean_gap"]["value"] <= method["mean_gap"]["high"]
        assert found["tasks"]["sums"][name]["score"] == pytest.approx(share)
        assert found["tasks"]["sums"][name]["gap"]["value"] == pytest.approx(share - 11 / 12)


def test_planted_differences_are_found_and_an_equal_variant_is_exactly_equal(found):
    assert difference(found, "pairing=good", "base")["low"] > 0
    assert difference(found, "pairing=bad", "base")["high"] < 0
    same = difference(found, "pairing=same", "base")
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
    assert difference(found, "pairing=good", "sft")["value"] == pytest.approx(5 / 12)
    assert difference(found, "pairing=good", "base", "names")["value"] == pytest.approx(4 / 12)


def test_who_beats_whom_holds_every_pair_apart_from_0_and_no_other(found):
    pairs = {(each["better"], each["worse"]) for each in found["significance"]}
    assert {("pairing=good", "base"), ("base", "pairing=bad"), ("pairing=good", "pairing=bad")} <= pairs
    assert all(each["low"] > 0 for each in found["significance"])
    assert not any("pairing=critical" in pair for pair in pairs)  # the base under another name
    assert not {("pairing=same", "base"), ("base", "pairing=same")} & pairs


def test_the_conclusion_follows_from_the_intervals(found):
    said = conclusion(found, "pairing")
    assert re.match(r"Above the base: good \(\+33\.3, .*\); below the base: bad \(−41\.7, .*\); 1 without", said)
    assert "Comparing all 3 at once leaves apart: good, bad." in said


def test_where_nothing_differs_the_conclusion_says_so(tmp_path):
    found = compare([write_sweep(tmp_path / "s", {"a": 0.5, "b": 0.5}, shares={"sft": 0.5})])
    expected = "No difference beyond the interval: none of the 2 variants differs from"
    assert conclusion(found, "pairing") == f"{expected} the base. {expected} LoRA-SFT."
    assert found["significance"] == []


def test_a_student_above_its_teacher_is_said_to_be(tmp_path):
    found = compare([write_sweep(tmp_path / "s", {"over": 1.0}, shares={"teacher": 0.7})])
    assert found["methods"]["pairing=over"]["overshoots"] == ["names", "sums"]
    assert found["methods"]["base"]["overshoots"] == []
    assert any("no error" in line and "pairing=over on names, sums" in line for line in lead(found))


def test_different_metrics_are_said(tmp_path):
    scores = {name: {"sums": outcomes(0.5), "names": outcomes(0.3)} for name in models()}
    run = write_run(tmp_path / "run", scores, metrics={"names": "byte_probability"})
    said = " ".join(lead(compare([run])))
    assert "adds unlike metrics" in said
    assert "Of names the score is the gold answers' probability a byte" in said


def test_costs_are_those_of_plan_and_training(found):
    method = found["methods"]["pairing=good"]
    assert (method["seconds"], method["peak_bytes"], method["trainable"], method["train_tokens"]) == (
        4,
        2**20,
        100,
        300,
    )
    assert found["methods"]["student"]["seconds"] == 0


def test_shares_of_right_answers_are_one_kind_however_they_are_read(tmp_path):
    scores = {name: {"sums": outcomes(0.5), "names": outcomes(0.3)} for name in models()}
    run = write_run(tmp_path / "run", scores, metrics={"names": "accuracy"})
    assert "unlike metrics" not in " ".join(lead(compare([run])))


# several runs


def test_runs_of_several_seeds_are_one_model(tmp_path):
    runs = [write_run(tmp_path / str(seed), models(), config=config_of(seed)) for seed in (0, 1)]
    found = compare(runs)
    assert list(found["methods"]) == ["student", "sft", "semalign", "teacher"]
    assert found["methods"]["semalign"]["seeds"] == [0, 1]
    assert found["base"] == "semalign"


def test_methods_that_differ_get_what_differs_as_their_name(tmp_path):
    other = {**config_of()["method"], "pairing": {"name": "depth"}}
    runs = [
        write_run(tmp_path / "a", models(), config=config_of()),
        write_run(tmp_path / "b", models(semalign=0.7), config=config_of(method=other)),
    ]
    found = compare(runs)
    assert [name for name in found["methods"] if name.startswith("semalign")] == [
        "semalign (pairing=critical)",
        "semalign (pairing=depth)",
    ]
    assert found["methods"]["sft"]["seeds"] == [0]


def test_methods_that_differ_in_whose_answers_they_are_trained_on_say_so(tmp_path):
    other = config_of(method={**config_of()["method"], "answers": "both"})
    other["teacher"]["writes"] = {"temperature": 1.0, "max_new_tokens": None}
    runs = [write_run(tmp_path / "a", models()), write_run(tmp_path / "b", models(semalign=0.7), config=other)]
    found = compare(runs)
    names = ["semalign (answers=gold, teacher.writes.temperature=None)"]
    names.append("semalign (answers=both, teacher.writes.temperature=1.0)")
    assert [name for name in found["methods"] if name.startswith("semalign")] == names
    assert "teacher" in found["methods"]  # which is the same, whatever it writes


def test_the_teachers_time_to_write_counts_where_its_answers_are_trained_on(tmp_path):
    run = write_run(tmp_path / "a", models(), config=config_of(method={"name": "semalign", "answers": "teacher"}))
    record = read_json(run / "record.json")
    record["costs"].append({"stage": "write answers", "seconds": 30.0, "peak_bytes": 2**30})
    write_json(run / "record.json", record)
    told = compare([run])["methods"]
    assert {name: told[name]["seconds"] for name in ("sft", "semalign")} == {"sft": 4.0, "semalign": 34.0}
    assert told["semalign"]["peak_bytes"] == 2**30


def test_a_model_measured_twice_with_other_outcomes_is_noted(tmp_path):
    runs = [write_run(tmp_path / "a", models()), write_run(tmp_path / "b", models(sft=0.3))]
    (note,) = compare(runs)["notes"]
    assert note.startswith("sft, seed 0:")


def test_seeds_that_only_one_side_has_do_not_enter_a_difference(tmp_path):
    swept = write_sweep(tmp_path / "s", {"good": 0.8})
    write_run(swept / "pairing=good" / "seed-2", {}, config=config_of(2), status="failed", detail="boom")
    found = compare([swept])
    assert found["methods"]["pairing=good"]["seeds"] == [0, 1]
    assert difference(found, "pairing=good", "base")["seeds"] == 2
    assert found["failed"] == [{"folder": str(swept / "pairing=good" / "seed-2"), "reason": "failed: boom"}]


def test_a_seed_without_the_teacher_is_left_out(tmp_path):
    swept = write_sweep(tmp_path / "s", {"good": 0.8})
    for name in ("base", "pairing=good"):
        path = swept / name / "seed-1" / "record.json"
        record = read_json(path)
        record["models"] = [model for model in record["models"] if model["key"] != "teacher"]
        path.write_text(json.dumps(record))
    found = compare([swept])
    assert found["seeds"] == [0, 2]
    assert found["notes"] == ["seed 1 is left out: no finished run of teacher with it"]


def test_budgets_that_differ_are_noted(tmp_path):
    longer = config_of(training={"batch_size": 4, "epochs": 4})
    runs = [write_run(tmp_path / "a", models()), write_run(tmp_path / "b", models(), config=longer, steps=12)]
    notes = compare(runs)["notes"]
    assert "budgets differ: between 6 and 12 steps" in notes
    assert "budgets differ: batch size and epochs are 4 and 2, 4 and 4" in notes


# refused


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"ids": [f"other-{i}" for i in range(12)]}, "rows of sums for seed 0 differ"),
        ({"ids": [f"sums-{i}" for i in reversed(range(12))]}, "in other order"),
        ({"metrics": {"sums": "accuracy"}}, "metrics of sums differ"),
        ({"split": "validation"}, "split of sums differ"),
        ({"config": config_of(teacher={"model": "bigger"})}, "the teacher differ"),
    ],
)
def test_runs_that_were_not_measured_alike_are_refused(change, complaint, tmp_path):
    first, other = write_run(tmp_path / "a", models()), write_run(tmp_path / "b", models(), **change)
    said = refused([first, other])
    assert complaint in said
    assert said.startswith(str(other))
    assert str(first) in said


def test_other_tasks_and_another_reference_are_refused(tmp_path):
    first = write_run(tmp_path / "a", models())
    other = write_run(tmp_path / "b", {name: {"names": outcomes(0.5)} for name in models()})
    assert "tasks differ" in refused([first, other])
    adapted = write_run(tmp_path / "c", models(teacher_adapted=0.8))
    assert "the reference differ" in refused([first, adapted])


def test_rows_of_other_seeds_may_differ(tmp_path):
    runs = [
        write_run(tmp_path / str(seed), models(), config=config_of(seed), ids=[f"{seed}-{i}" for i in range(12)])
        for seed in (0, 1)
    ]
    assert compare(runs)["methods"]["sft"]["seeds"] == [0, 1]


def test_folders_that_hold_nothing_finished_are_refused(tmp_path):
    assert refused([tmp_path]) == f"{tmp_path}: holds no run and no sweep"
    stopped = write_run(tmp_path / "a", {}, status="cancelled")
    assert refused([stopped]) == f"no finished run in {stopped} ({stopped}: cancelled)"


# written


def test_all_four_files_tell_the_same(swept, found, tmp_path):
    out = tmp_path / "out"
    compare([swept], out, title="Which pairing?")
    assert sorted(path.name for path in out.iterdir()) == [f"compare.{end}" for end in ("csv", "html", "json", "md")]
    assert read_json(out / "compare.json") == json.loads(json.dumps(found))
    text = (out / "compare.md").read_text()
    assert text.startswith("# Which pairing?\n")
    assert conclusion(found, "pairing") in text
    assert "- pairing=good: `{method.pairing: good}`" in text
    rows = list(csv.DictReader((out / "compare.csv").open()))
    assert len(rows) == len(found["methods"]) * (1 + len(found["tasks"]))
    (row,) = [row for row in rows if (row["name"], row["task"]) == ("pairing=good", "mean")]
    assert float(row["score"]) == found["methods"]["pairing=good"]["mean_score"]["value"]
    page = (out / "compare.html").read_text()
    assert "Which pairing?" in page
    assert page.count("<svg") >= 2  # a forest for the models and one for the axis
    assert not re.search(r"(src|href)=\"(https?:)?//", page)


def test_an_older_comparison_is_replaced_and_anything_else_refused(swept, tmp_path):
    compare([swept], tmp_path / "out")
    compare([swept], tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert "choose another --out" in refused([swept], out=tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_names_cannot_break_the_page_or_the_table(tmp_path):
    swept = write_sweep(tmp_path / "s", {"<script>|x": 0.8})
    compare([swept], tmp_path / "out")
    assert "<script>" not in (tmp_path / "out" / "compare.html").read_text()
    lines = [
        line for line in (tmp_path / "out" / "compare.md").read_text().splitlines() if line.startswith("| <script>")
    ]
    assert lines
    assert all(r"<script>\|x" in line for line in lines)


def test_the_terminal_shows_every_variant(found):
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(*terminal_tables(found))
    text = console.export_text()
    assert all(label in text for label in ("good", "same", "bad", "critical (the base)", "LoRA-SFT"))
    assert not np.any(["nan" in line for line in text.splitlines()])


def test_published_comparisons_hold_what_is_written_today_but_for_what_their_page_says(found):
    folder = Path(__file__).parents[2] / "docs" / "results"
    page = (folder / "index.md").read_text(encoding="utf-8")
    (said,) = (line for line in page.splitlines() if "ablations-smollm2.json are older than" in line)
    published = {path.name: read_json(path) for path in sorted(folder.glob("*.json"))}
    comparisons = {name: held for name, held in published.items() if "significance" in held}
    assert comparisons
    assert all(f"({name.removesuffix('.json')}.md)" in page for name in comparisons)
    for name, held in comparisons.items():
        assert set(held) == set(found), name
        lacks = _keys(found) - _keys(held)
        assert lacks == ({"signed_gap", "teacher_tokens", "closeness"} if name in said.split() else set()), name
        assert all(f"`{key}`" in said for key in lacks), name
        assert _keys(held) <= _keys(found), name


def _keys(held):
    """Of a method and of a task's cell."""
    (method, *_), (row, *_) = held["methods"].values(), held["tasks"].values()
    return {*method, *next(iter(row.values()))}
