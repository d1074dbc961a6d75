"""Did alignment help: ratios of distances against a plain version, planted answers, several pairs as one."""

import json
import zlib

import numpy as np
import pytest
from fake_runs import config_of, outcomes, write_run

from semalign.artifacts import read_json, write_json
from semalign.compare import compare
from semalign.compare.collect import collect_methods
from semalign.compare.overview import overview
from semalign.compare.resampled import Resampled
from semalign.compare.result import result
from semalign.compare.statistics import Sampled, mean_of, ratio, sample_rows
from semalign.compare.words import lead
from semalign.errors import UserError

N_ROW = 12
SHARES = {"semalign": 0.8, "sft": 0.5, "laten": 0.3, "mine": 0.7}


def write(folder, shares=None, *, teacher=0.9, seeds=(0, 1, 2), noisy=False, **options):
    """Runs of methods as a comparison leaves them, by name and seed; each has the student, itself and the teacher."""
    runs: dict[str, dict] = {}
    for name, share in (shares or SHARES).items():
        for seed in seeds:
            rows = {"student": 0.2, "run": share, "teacher": teacher}
            drawn = {m: {"sums": outcomes(x, seed), "names": outcomes(x, seed + 50)} for m, x in rows.items()}
            if noisy:  # rows of its own right, so that differences vary by row
                drawn["run"] = {
                    task: np.random.default_rng([seed, len(name)]).permutation(x).tolist()
                    for task, x in drawn["run"].items()
                }
            place = folder / name / f"seed-{seed}"
            runs.setdefault(name, {})[seed] = write_run(place, drawn, config=config_of(seed), **options)
    return runs


def collected(folder, recommended="semalign", **options):
    found, failed = collect_methods(write(folder, **options), recommended, {"name": "planted"})
    assert found is not None
    assert failed == []
    return found


# the ratio


def test_one_seed_is_the_percentile_bootstrap_of_a_quotient_of_means():
    rng = np.random.default_rng(1)
    values = {task: rng.random((3, N_ROW)) < [[0.5], [0.3], [0.9]] for task in ("x", "y")}  # ours, theirs, teacher
    tasks = {
        task: sample_rows([{0: row} for row in x], {0: np.ones(N_ROW)}, {0: [f"r{i}" for i in range(N_ROW)]}, task=task)
        for task, x in values.items()
    }
    mean = mean_of([t.minus(t.pick([2], [0])).distance() for t in tasks.values()])
    found = ratio(mean.pick([0], [0]), mean.pick([1], [0]))

    distances = np.zeros((2, 2000))
    for task, x in values.items():
        generator = np.random.default_rng([0, zlib.crc32(task.encode())])
        for b in range(2000):
            drawn = x[:, generator.integers(N_ROW, size=N_ROW)].mean(1)
            distances[:, b] += np.abs(drawn[:2] - drawn[2]) / 2
    plain = distances[0] / distances[1]
    measured = [sum(abs(x[i].mean() - x[2].mean()) for x in values.values()) for i in (0, 1)]
    assert found.value == pytest.approx(measured[0] / measured[1])
    ordered = np.sort(plain)
    assert found.low == pytest.approx(ordered[int(0.025 * 1999)])
    assert found.high == pytest.approx(ordered[int(np.ceil(0.975 * 1999))])


def test_seeds_are_drawn_for_both_sides_at_once():
    """Distances that move together over seeds have a ratio that does not move at all."""
    value = np.array([[0.1, 0.2, 0.6]])
    resampled = np.repeat(value[..., None], 2000, -1)
    assert ratio(Sampled(value, resampled), Sampled(2 * value, 2 * resampled)) == pytest.approx((0.5, 0.5, 0.5))
    apart = ratio(Sampled(value, resampled), Sampled(value[:, ::-1], resampled[:, ::-1]))
    assert apart.low < 0.7
    assert apart.high > 1.4


def test_a_rival_without_distance_has_no_finite_ratio(tmp_path):
    found = result(collected(tmp_path, shares={"semalign": 0.5, "sft": 0.9}))["answer"]
    assert found["gap_ratio"] == {"value": None, "low": None, "high": None}
    assert "that of the closest rival, sft, which is 0" in found["words"]


# the answer


def test_the_planted_answer_is_found(tmp_path):
    found = result(collected(tmp_path))
    answer = found["answer"]
    assert (answer["recommended"], answer["rivals"], answer["best_rival"]) == ("semalign", ["laten", "sft"], "sft")
    assert list(answer["against"]) == ["student", "sft", "laten", "mine"]
    against = answer["against"]["sft"]
    assert against["score"]["value"] == pytest.approx(4 / 12)  # of 12 rows 10 and 6 are right
    assert against["closeness"]["value"] == pytest.approx(-4 / 12)
    assert against["seeds"] == 3
    gaps = {name: found["methods"][name]["mean_gap"]["value"] for name in ("semalign", "sft")}
    assert answer["gap_ratio"]["value"] == pytest.approx(gaps["semalign"] / gaps["sft"]) == pytest.approx(0.2)
    assert answer["gap_ratio"]["low"] <= 0.2 <= answer["gap_ratio"]["high"]
    assert answer["words"].startswith("Did alignment help? Yes: semalign scores above laten (+50.0, ")
    assert lead(found)[0] == answer["words"]


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ({"semalign": 0.8, "sft": 0.2, "laten": 0.1}, "Yes: semalign scores above laten"),
        ({"semalign": 0.2, "sft": 0.8, "laten": 0.9}, "No: semalign scores below laten"),
        ({"semalign": 0.5, "sft": 0.5}, "Not clearly: semalign scores not apart from sft (0.0, 0.0 to 0.0 points)"),
        ({"semalign": 0.5, "sft": 0.9, "laten": 0.1}, "Partly: semalign scores above laten"),
    ],
)
def test_the_verdict_follows_from_the_intervals(shares, verdict, tmp_path):
    assert verdict in result(collected(tmp_path, shares=shares, teacher=1.0))["answer"]["words"]


def test_without_a_known_rival_all_other_methods_are(tmp_path):
    answer = result(collected(tmp_path, shares={"semalign": 0.8, "mine": 0.5}))["answer"]
    assert answer["rivals"] == ["mine"]
    alone = result(collected(tmp_path / "alone", shares={"semalign": 0.8}))["answer"]
    assert (alone["best_rival"], alone["gap_ratio"]) == (None, None)
    assert "no finished run of another method" in alone["words"]


def test_a_student_that_passes_its_teacher_has_a_positive_gap_and_a_distance(tmp_path):
    found = result(collected(tmp_path, shares={"semalign": 1.0, "sft": 0.5}, teacher=0.75))
    method = found["methods"]["semalign"]
    assert method["signed_gap"]["value"] == pytest.approx(0.25)
    assert method["mean_gap"]["value"] == pytest.approx(0.25)
    assert method["overshoots"] == ["names", "sums"]
    assert found["methods"]["sft"]["signed_gap"]["value"] == pytest.approx(-0.25)
    assert found["methods"]["sft"]["overshoots"] == []


def test_the_mean_gap_is_the_mean_of_tasks_closeness(tmp_path):
    found = result(collected(tmp_path, noisy=True))
    for name, method in found["methods"].items():
        by_task = [row[name]["closeness"]["value"] for row in found["tasks"].values()]
        assert method["mean_gap"]["value"] == pytest.approx(np.mean(by_task))
        signed = [row[name]["gap"]["value"] for row in found["tasks"].values()]
        assert method["signed_gap"]["value"] == pytest.approx(np.mean(signed))


# names, failures, pairs


def test_who_has_another_budget_than_most_is_named(tmp_path):
    runs = write(tmp_path, {"semalign": 0.5, "sft": 0.5, "laten": 0.5}, seeds=(0,))
    values = {m: {task: outcomes(0.5) for task in ("sums", "names")} for m in ("student", "run", "teacher")}
    write_run(runs["laten"][0], values, config=config_of(0), steps=4)
    found, _ = collect_methods(runs, "semalign", {})
    assert found is not None
    assert "budgets differ: between 4 and 6 steps (laten unlike most)" in found.notes


def test_rivals_without_the_teachers_answers_are_named_and_those_that_have_them(tmp_path):
    """A rival on other rows is told from one on the same; where all share them, nothing is said."""
    shares = {"semalign": 0.8, "sft": 0.5, "sequence-kd": 0.6, "logit-kd": 0.7}
    answers = {"semalign": "both", "sequence-kd": "both", "logit-kd": "teacher"}
    runs = write(tmp_path, shares, seeds=(0,))
    for name, by_seed in runs.items():
        record = read_json(by_seed[0] / "record.json")
        for model in record["models"]:
            if model["role"] == "method":
                kind = {"sft": "sft", "sequence-kd": "sft", "logit-kd": "logit_kd"}.get(name, "semalign")
                model["method"] = {"name": kind, **({"answers": answers[name]} if name in answers else {})}
        write_json(by_seed[0] / "record.json", record)
    collection, _ = collect_methods(runs, "semalign", {})
    assert collection is not None
    found = result(collection)
    note = (
        "not all are trained on the same rows: semalign on gold and the teacher's answers, sft on gold answers, "
        "logit-kd on the teacher's answers, so that part of the difference may be the answers and not the method; "
        "the same answers as semalign have sequence-kd"
    )
    assert found["notes"][0] == note
    assert f"{note[0].upper()}{note[1:]}." in lead(found)
    alone, _ = collect_methods({name: runs[name] for name in ("semalign", "sequence-kd")}, "semalign", {})
    assert alone is not None
    assert result(alone)["notes"] == []


def test_the_record_of_an_older_version_is_refused_in_one_line(tmp_path):
    (run,) = write(tmp_path, {"sft": 0.5}, seeds=(0,))["sft"].values()
    record = read_json(run / "record.json")
    for model in record["models"]:
        del model["teacher_tokens"]
    (run / "record.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"seed-0: the record is an older version's and lacks some of .*; run it again"):
        compare([run])


def test_rows_go_from_the_student_to_its_teachers(tmp_path):
    assert list(result(collected(tmp_path))["methods"]) == ["student", *SHARES, "teacher"]


def test_a_recommended_method_without_a_run_leaves_no_answer(tmp_path):
    runs = write(tmp_path, {"semalign": 0.5, "sft": 0.5}, seeds=(0,))
    write_run(runs["semalign"][0], {}, config=config_of(0), status="failed", detail="boom")
    found, failed = collect_methods(runs, "semalign", {})
    assert found is not None
    assert failed == [{"folder": str(runs["semalign"][0]), "reason": "failed: boom"}]
    told = result(found)
    assert (told["base"], told["answer"], told["failed"]) == ("sft", None, failed)
    assert told["notes"] == ["no finished run of semalign, the recommended method: differences are to sft"]


def test_nothing_done_is_nothing_found(tmp_path):
    run = write_run(tmp_path, {}, config=config_of(0), status="cancelled")
    assert collect_methods({"sft": {0: run}}, "sft", {}) == (None, [{"folder": str(run), "reason": "cancelled"}])


def test_an_overview_is_the_mean_over_all_tasks_of_all_pairs(tmp_path):
    pairs = {
        "near": collected(tmp_path / "near", teacher=0.9),
        "far": collected(tmp_path / "far", teacher=0.6, shares={"semalign": 0.4, "sft": 0.5, "laten": 0.3}),
    }
    alone = {pair: result(held) for pair, held in pairs.items()}
    found = result(overview(pairs, {}))
    assert list(found["methods"]) == ["student", "semalign", "sft", "laten", "teacher"]  # 'mine' has one pair only
    assert list(found["tasks"]) == ["near/names", "near/sums", "far/names", "far/sums"]
    for name, method in found["methods"].items():
        for part in ("mean_score", "mean_gap", "signed_gap"):
            halves = [told["methods"][name][part]["value"] for told in alone.values()]
            assert method[part]["value"] == pytest.approx(np.mean(halves))
        for pair, task in (("near", "sums"), ("far", "names")):
            told = alone[pair]["tasks"][task][name]
            assert found["tasks"][f"{pair}/{task}"][name]["score"] == pytest.approx(told["score"])
            assert found["tasks"][f"{pair}/{task}"][name]["low"] == pytest.approx(told["low"])
    assert "mine has no seed on which it is done on every pair" in found["notes"]


def test_rows_that_pairs_share_are_drawn_for_both(tmp_path):
    one = collected(tmp_path, noisy=True)
    twice = Resampled(overview({"a": one, "b": one}, {}))
    assert twice.interval(twice.scores["mean"], "sft") == pytest.approx(
        Resampled(one).interval(Resampled(one).scores["mean"], "sft")
    )
