"""The verbs sweep and compare: what they say, and their exit codes."""

import pytest
from fake_runs import write_sweep
from tiny_run import config_of, write_world

from semalign.artifacts import read_json


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return config_of(write_world(tmp_path_factory.mktemp("world")), tasks=("names",))


def test_compare_shows_the_tables_and_writes_the_page(say, tmp_path):
    swept = write_sweep(tmp_path / "swept", {"good": 0.8})
    said = say("compare", swept, "--out", tmp_path / "out")
    assert (said.code, said.err) == (0, "")
    assert "Above the base: good" in said.out
    assert f"the page: {tmp_path / 'out' / 'compare.html'}" in said.out
    assert read_json(tmp_path / "out" / "compare.json")["base"] == "base"


def test_compare_of_nothing_is_one_line(say, tmp_path):
    said = say("compare", tmp_path)
    assert (said.code, said.out, said.err) == (2, "", f"semalign: {tmp_path}: holds no run and no sweep\n")


def test_sweep_without_anything_to_vary_is_one_line(say, config, tmp_path):
    said = say("sweep", config, "--out", tmp_path / "out")
    assert (said.code, said.err) == (2, "semalign: give --over KEY=V1,V2 or --axes FILE\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--seeds", "--jobs"])
def test_sweep_needs_at_least_one(option, say, config):
    assert say("sweep", config, "--over", "method.pairing=depth", option, "0").code == 2


@pytest.mark.slow
def test_sweep_ends_with_1_where_a_run_failed_and_0_when_it_is_repaired(say, config, tmp_path, monkeypatch):
    from semalign.methods import base as methods

    def failing(*_args, **_options):
        raise ZeroDivisionError("by zero")

    command = ("sweep", config, "--over", "method.pairing=depth", "--out", tmp_path / "out", "--plain")
    train = methods.train
    monkeypatch.setattr(methods, "train", failing)
    said = say(*command)
    assert said.code == 1
    assert "failed: method.pairing=depth seed 0: ZeroDivisionError: by zero" in said.out
    assert "0 runs done, 0 done before, 2 failed" in said.out
    assert "Traceback" not in said.err
    monkeypatch.setattr(methods, "train", train)
    again = say(*command)
    assert again.code == 0, again.err
    assert "2 runs done, 0 done before, 0 failed" in again.out
    assert say("compare", tmp_path / "out").code == 0
