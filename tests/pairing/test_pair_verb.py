"""`semalign pair`: the pairs of a configuration with their similarity, every pairing beside them, and the page."""

import itertools
import json

import pytest
from pages import Page, assert_loads_nothing
from tiny_run import config_of

from semalign.config import Run
from semalign.inspect import measure_pairing
from semalign.inspect.measure_pairing import label, measure
from semalign.inspect.pair import lead, pairs_table
from semalign.inspect.stages import context_of
from semalign.pairing.attention_patterns import attention_similarity
from semalign.pairing.critical import Critical
from semalign.pairing.manual import Manual
from semalign.pairing.monotone_cka import MonotoneCKA
from semalign.pairing.random import Random
from semalign.strategy import available


@pytest.fixture(scope="module")
def found(world):
    """Of a teacher of five layers and a student of three, with the monotone path."""
    method = {"name": "semalign", "pairing": "monotone_cka", "site": "block_out"}
    return measure(Run.read(config_of(world, name="measured", method=method), ()))


def test_each_pair_has_the_similarity_of_its_layers(found):
    assert len(found["similarity"]) == 3
    assert {len(row) for row in found["similarity"]} == {5}
    assert [pair["student"] for pair in found["pairs"]] == [0, 1, 2]
    for pair in found["pairs"]:
        (item,) = pair["teacher"]
        assert pair["cka"] == pytest.approx(found["similarity"][pair["student"]][item["layer"]])
        assert f"{pair['cka']:.3f}" in pair["reason"]


def test_each_pair_has_the_attention_of_its_layers_beside_their_similarity(world, found):
    method = {"name": "semalign", "pairing": "monotone_cka", "site": "block_out"}
    context = context_of(Run.read(config_of(world, name="measured", method=method), ()))
    alike = attention_similarity(context.teacher, context.student, context.extract).tolist()
    assert found["attention"]["values"] == alike
    for pair, row in zip(found["pairs"], pairs_table(found).rows, strict=True):
        (item,) = pair["teacher"]
        assert pair["attention"] == alike[pair["student"]][item["layer"]] != pair["cka"]
        assert dict(zip(pairs_table(found).columns, row, strict=True))["attention"] == f"{pair['attention']:.3f}"
    assert found["attention_left_out"] is None
    assert any(f"all layers it is {found['attention']['mean']:.3f}" in line for line in lead(found))


def test_a_model_that_gives_no_attention_weights_is_the_reason_where_it_is(world, monkeypatch):
    monkeypatch.setattr(measure_pairing, "attention_similarity", lambda *_: None)
    found = measure(Run.read(config_of(world, name="silent"), ()))
    assert all(pair["attention"] is None for pair in found["pairs"])
    assert "Attention patterns were not compared: one of the models does not give its attention weights." in lead(found)


def test_every_pairing_stands_in_the_comparison_and_the_runs_own_is_first(found):
    rows = found["pairings"]
    assert rows[0]["pairing"] == found["pairing"] == "monotone_cka"
    names = [row["pairing"].split()[0] for row in rows]
    assert set(names) == set(available("pairing")) - {"manual"}
    assert len({row["pairing"] for row in rows}) == len(rows)
    assert not any(row["refused"] for row in rows)
    best = max(rows, key=lambda row: row["mean_cka"])
    assert next(row for row in rows if row["pairing"] == "cka_argmax")["mean_cka"] == best["mean_cka"]


def test_the_comparison_counts_what_the_pairs_say(found):
    for row in found["pairings"]:
        values = [found["similarity"][student][int(teacher)] for student, teacher in row["pairs"]]
        assert row["mean_cka"] == pytest.approx(sum(values) / len(values))
        assert row["lowest_cka"] == min(values)
        teachers = [teacher for _, teacher in row["pairs"]]
        assert row["n_teacher"] == len(set(teachers))
        assert row["in_order"] == all(a <= b for a, b in itertools.pairwise(teachers))
    assert not next(row for row in found["pairings"] if row["pairing"] == "reverse")["in_order"]


def test_similarity_is_measured_at_the_answers_of_the_extract_rows(found):
    # 4 extract rows of each of three tasks; every answer token and the end of the answer
    assert 12 < found["positions"] < 12 * 30
    assert (found["teacher"]["width"], found["student"]["width"]) == (24, 16)


def test_a_pairing_that_is_impossible_is_listed_with_its_reason(world):
    swapped = config_of(world, name="swapped", teacher="./student", student="./teacher", controls=[])
    rows = {row["pairing"]: row for row in measure(Run.read(swapped, ()))["pairings"]}
    assert "strict needs a teacher layer for each of 5 student layers" in rows["monotone_cka strict=true"]["refused"]
    assert rows["one_per_layer"]["refused"] is None


def test_labels_show_options_as_a_configuration_writes_them():
    assert label(Critical()) == "critical"
    assert label(Critical(count=None, interpolate=True)) == "critical count=null interpolate=true"
    assert label(MonotoneCKA(count=2)) == "monotone_cka count=2"
    assert label(Random(seed=3)) == "random"
    assert label(Manual(pairs=((0, 1),))) == "manual"


@pytest.mark.slow
def test_the_verb_prints_tables_and_writes_the_page_with_its_numbers(say, world, tmp_path):
    config = config_of(world, method={"name": "semalign", "pairing": {"name": "depth", "interpolate": True}})
    out = tmp_path / "pairing"
    said = say("pair", config, "--out", out)
    assert said.code == 0
    for words in (
        "pairing: depth interpolate=true",
        "depth 1/3 of the student",
        "0.33 x 0 + 0.67 x 1",
        "one_per_layer",
    ):
        assert words in said.out
    written = json.loads((out / "pairing.json").read_text("utf-8"))
    text = (out / "pairing.html").read_text("utf-8")
    page = Page(text)
    assert_loads_nothing(text)
    assert sum(tag == "svg" for tag, _ in page.tags) == 2
    for row in written["pairings"]:
        assert f"{row['mean_cka']:.3f}" in page.text if not row["refused"] else row["refused"] in page.text
    assert sorted(path.name for path in out.iterdir()) == ["pairing.html", "pairing.json"]


def test_a_folder_in_use_is_left_alone(say, world, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    said = say("pair", config_of(world), "--out", tmp_path)
    assert said.code == 2
    assert said.complaint == [f"semalign: {tmp_path}: is not an empty folder; choose another --out"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
