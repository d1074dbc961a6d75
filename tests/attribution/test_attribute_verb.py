"""`semalign attribute`: ranking, the check against ablation, the two trainings, and the files."""

import json

import numpy as np
import pytest
import torch
from pages import Page, assert_loads_nothing
from terminal import semalign
from tiny_run import config_of

from semalign.attribution.occlusion import Occlusion
from semalign.config import Run
from semalign.inspect.attribute import attribution_tables, verdict
from semalign.inspect.measure_attribution import measure, order, subject
from semalign.inspect.stages import tasks_of
from semalign.inspect.train_attributed import compare_ends
from semalign.progress import Reporter
from semalign.strategy import available

METHOD = {"name": "semalign", "attribution": {"name": "gradient_x_activation", "aggregation": "l2"}}


@pytest.fixture
def say(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *arguments: semalign(monkeypatch, capsys, "attribute", *arguments)


@pytest.fixture(scope="module")
def found(world, tmp_path_factory):
    """The files of one run with everything, and what was printed."""
    out = tmp_path_factory.mktemp("sheet") / "out"
    config = config_of(world, name="whole", method=METHOD)
    tables = attribution_tables(config, [], out, check=True, train=True, reporter=Reporter(quiet=True))
    assert sorted(path.name for path in out.iterdir()) == ["attribution.html", "attribution.json"]
    return json.loads((out / "attribution.json").read_text()), (out / "attribution.html").read_text(), tables


def test_the_ranking_is_drawn_and_nothing_is_written(say, world, tmp_path):
    said = say(config_of(world, method=METHOD))
    assert (said.code, said.err) == (0, "")
    bars = [line.count("█") for line in said.out.splitlines() if "│" in line]
    assert len(bars) == 5
    assert bars == sorted(bars, reverse=True)
    assert max(bars) == 24
    assert "gradient_x_activation (aggregation l2)" in said.out


@pytest.mark.slow
def test_the_check_covers_every_attribution_the_runs_own_first(found):
    check = found[0]["check"]
    labels = [item["attribution"] for item in check["attributions"]]
    assert labels == ["gradient_x_activation (aggregation l2)", *available("attribution")]
    assert check["attributions"][0]["scores"] == found[0]["scores"]
    assert (check["split"], check["rows"], found[0]["rows"]) == ("validation rows", 12, 12)
    for item in check["attributions"]:
        correlation = item["rank_correlation"]
        if item["attribution"] == "uniform":
            assert correlation is None
        else:
            assert -1 <= correlation["low"] <= correlation["value"] <= correlation["high"] <= 1


@pytest.mark.slow
def test_the_check_compares_with_occlusion_of_validation_rows(found, world):
    about = subject(Run.read(config_of(world, method=METHOD)), check=True)
    assert {row.id for row in about.scored}.isdisjoint(row.id for row in about.ablated)
    expected = Occlusion().score(about.teacher, about.batches(about.ablated))
    check = found[0]["check"]
    np.testing.assert_allclose([item["value"] for item in check["ablation"]], expected, rtol=1e-5)
    own = check["attributions"][0]["rank_correlation"]["value"]
    ranks = [np.argsort(np.argsort(values)) for values in (found[0]["scores"], expected.tolist())]
    assert own == pytest.approx(np.corrcoef(*ranks)[0, 1])


@pytest.mark.slow
def test_each_side_trains_its_own_layers_with_the_same_budget(found):
    part = found[0]["training"]
    top, bottom = (part["sides"][side] for side in ("top", "bottom"))
    assert part["layers"] == len(top["student"]) == len(bottom["student"]) == 1  # a third of three
    assert (
        (top["steps"], top["trained_numbers"])
        == (bottom["steps"], bottom["trained_numbers"])
        == (3, 2 * (48 + 48 + 24 + 32))
    )
    ranked = order(found[0]["scores"])
    for side, first in ((top, ranked[0]), (bottom, ranked[-1])):
        assert f"teacher layer {first} is number 1 by attribution" in side["pairs"][0]["reason"]
    assert part["shared"] == sorted(set(top["student"]) & set(bottom["student"]))


@pytest.mark.slow
def test_the_difference_is_that_of_the_two_students(found):
    part = found[0]["training"]
    assert list(part["top_minus_bottom"]) == ["all", "sums", "colours", "names"]
    for task, difference in part["top_minus_bottom"].items():
        top, bottom = (part["bits_per_byte"][side][task]["value"] for side in ("top", "bottom"))
        assert difference["value"] == pytest.approx(top - bottom, abs=1e-12)
        assert difference["low"] <= difference["value"] <= difference["high"]
        assert part["bits_per_byte"]["untouched"][task]["value"] not in (top, bottom)


@pytest.mark.slow
def test_the_sheet_holds_tables_and_pictures_and_loads_nothing(found):
    text = found[1]
    assert_loads_nothing(text)
    page = Page(text)
    assert sum(tag == "svg" for tag, _ in page.tags) == 3
    for table in found[2]:
        assert str(table.title) in page.text


@pytest.mark.slow
def test_the_student_is_left_as_it_was(world, monkeypatch):
    run = Run.read(config_of(world, tasks=("names",), method=METHOD))
    import semalign.inspect.train_attributed as verb

    contexts = []
    real = verb.context_of
    monkeypatch.setattr(verb, "context_of", lambda run: contexts.append(real(run)) or contexts[0])
    compare_ends(run, [0.1, 0.5, 0.2, 0.4, 0.3], Reporter(quiet=True))
    fresh = real(run).student.module.state_dict()
    left = contexts[0].student.module.state_dict()
    assert list(left) == list(fresh)
    assert all(torch.equal(left[name], fresh[name]) for name in fresh)


@pytest.mark.slow
def test_the_sides_train_from_where_the_method_starts(world):
    training = {"epochs": 1, "batch_size": 10, "learning_rate": 0.01, "lora": {"rank": 2, "alpha": 2}}
    found = {}
    for start in ("zero", "principal"):
        config = config_of(world, name=start, tasks=("names",), method={**METHOD, "start": start}, training=training)
        found[start] = compare_ends(Run.read(config), [0.1, 0.5, 0.2, 0.4, 0.3], Reporter(quiet=True))
    sides = {start: each["sides"]["top"] for start, each in found.items()}
    assert sides["zero"]["trained_numbers"] == sides["principal"]["trained_numbers"]
    untouched = {each["bits_per_byte"]["untouched"]["all"]["value"] for each in found.values()}
    assert len(untouched) == 1
    assert len({each["bits_per_byte"]["top"]["all"]["value"] for each in found.values()}) == 2


def test_without_validation_rows_halves_of_extract_rows_stand_in(world, monkeypatch):
    import semalign.inspect.measure_attribution as verb

    run = Run.read(config_of(world, tasks=("sums", "names")))
    real = verb.encode_rows

    def without_validation(*arguments):
        rows = real(*arguments)
        rows.examples["validation"] = {}
        return rows

    monkeypatch.setattr(verb, "encode_rows", without_validation)
    about = subject(run, check=True)
    assert [row.id for row in about.scored] == ["s24", "s26", "n24", "n26"]
    assert [row.id for row in about.ablated] == ["s25", "s27", "n25", "n27"]
    assert len(subject(run, check=False).scored) == 8


def test_the_control_draws_with_the_runs_seed(world):
    config = config_of(world, method={"name": "semalign", "attribution": "random"})
    scores = [
        measure(run, subject(run, check=False))["scores"]
        for run in (Run.read(config), Run.read(config, ["seed=3"]), Run.read(config, ["seed=3"]))
    ]
    assert scores[0] != scores[1] == scores[2]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(-2.0, -1.0, "The top layers did better"), (1.0, 2.0, "The bottom layers did better"), (-1.0, 1.0, "includes 0")],
)
def test_the_verdict_goes_by_the_interval(low, high, words):
    part = {"top_minus_bottom": {"all": {"value": 0.0, "low": low, "high": high}}, "shared": [2, 4]}
    assert words in verdict(part)
    assert "student layer 2, 4" in verdict(part)


# mistakes


def test_a_folder_that_holds_something_is_refused_first(say, world, tmp_path):
    (tmp_path / "kept").write_text("mine")
    said = say(config_of(world), "--out", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert "is not an empty folder" in said.err
    assert (tmp_path / "kept").read_text() == "mine"


def test_training_needs_a_method_that_pairs_layers(say, world):
    said = say(config_of(world, method="sft", controls=[]), "--train")
    assert (said.code, said.out) == (2, "")
    assert "method 'sft' pairs no layers" in said.err


def test_too_few_extract_rows_are_an_error(say, world, monkeypatch):
    import semalign.inspect.measure_attribution as verb

    real = verb.encode_rows

    def without_extract(*arguments):
        rows = real(*arguments)
        rows.examples["extract"] = {}
        return rows

    monkeypatch.setattr(verb, "encode_rows", without_extract)
    said = say(config_of(world))
    assert said.code == 2
    assert said.err.startswith("semalign: too few rows in split 'extract' of sums, colours, names (0)")


def test_training_without_validation_rows_is_refused(say, world, monkeypatch):
    real = tasks_of

    def without_validation(run):
        tasks = real(run)
        tasks[1].splits["validation"] = []
        return tasks

    monkeypatch.setattr("semalign.inspect.attribute.tasks_of", without_validation)
    said = say(config_of(world), "--train")
    assert (said.code, said.out) == (2, "")
    assert "task 'colours' has no validation rows" in said.err
