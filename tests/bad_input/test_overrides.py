"""Values that do not fit, one by one through the command line: one line, exit code 2, nothing written."""

from pathlib import Path

import pytest
import yaml
from refused import assert_refused, snapshot
from tiny_run import config_of, write_world

CASES = yaml.safe_load((Path(__file__).parent / "overrides.yaml").read_text("utf-8"))
GOLDEN = yaml.safe_load((Path(__file__).parents[1] / "golden" / "config_errors.yaml").read_text("utf-8"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The world, its configuration, and its bytes: no case may change them."""
    world = write_world(tmp_path_factory.mktemp("world"))
    config = config_of(world, controls=[])
    return world, config, snapshot(world)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["set"][:60])
def test_a_value_that_does_not_fit_gets_one_line(case, place, say, monkeypatch):
    monkeypatch.delenv("SEMALIGN_UNSET", raising=False)
    world, config, before = place
    said = say("run", config, "--out", world / "out", "--set", case["set"])
    assert_refused(said, case["says"].replace("W", str(world), 1) if case["says"][0] == "W" else case["says"], world)
    assert snapshot(world) == before


def test_no_case_stands_in_two_tables():
    given = [case["set"] for case in [*CASES, *GOLDEN] if "set" in case]
    assert len(set(given)) == len(given)
