"""Models of the hub: the commit that a run began with is written down, and used when it goes on."""

import json
import shutil

import pytest
from tiny_run import config_of, write_model, write_world

from semalign.config import Run
from semalign.models import load
from semalign.pipeline import run
from semalign.reproduce import reproduce
from semalign.revisions import at_commits, known_commits

FIRST, SECOND = "a" * 40, "b" * 40


class Hub:
    """A cache of the hub with one model, as huggingface_hub lays it out."""

    def __init__(self, folder):
        self.model = folder / "models--org--student"

    def commit(self, sha, seed):
        """A commit that `main` then is."""
        write_model(self.model / "snapshots" / sha, n_layer=3, width=16, seed=seed)
        (self.model / "refs").mkdir(exist_ok=True)
        (self.model / "refs" / "main").write_text(sha)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    hub = Hub(tmp_path / "hub")
    hub.commit(FIRST, seed=2)
    return hub


@pytest.fixture
def config(tmp_path):
    world = write_world(tmp_path / "world")
    shutil.rmtree(world / "student")
    return config_of(world, tasks=("names",), method="sft", controls=[], student="org/student")


def test_a_model_of_the_hub_knows_its_commit(hub):
    assert load("org/student").commit == FIRST
    hub.commit(SECOND, seed=3)
    assert load("org/student").commit == SECOND
    assert load("org/student", revision=FIRST).commit == FIRST


def test_a_model_in_a_folder_has_none(tmp_path):
    write_model(tmp_path / "here", n_layer=1, width=8)
    assert load(str(tmp_path / "here")).commit is None


@pytest.mark.slow
def test_a_run_goes_on_and_is_reproduced_with_the_commit_it_began_with(hub, config, tmp_path):
    """With the weights of the newer one it would be refused: they are not those that the run began with."""
    out = run(config, tmp_path / "out", pages=False)
    assert json.loads((out / "revisions.json").read_text()) == {
        "student": {"model": "org/student", "revision": None, "commit": FIRST}
    }
    assert json.loads((out / "record.json").read_text())["student"]["commit"] == FIRST
    hub.commit(SECOND, seed=3)
    run(config, out, pages=False)
    assert json.loads((out / "record.json").read_text())["student"]["commit"] == FIRST
    again = reproduce(out, tmp_path / "again")
    assert again.equal


def test_what_a_configuration_names_otherwise_is_not_pinned(config, tmp_path):
    held = {"student": {"model": "org/student", "revision": None, "commit": FIRST}}
    (tmp_path / "revisions.json").write_text(json.dumps(held))
    asked = Run.read(config)
    assert known_commits(asked, tmp_path) == {"student": FIRST}
    assert at_commits(asked, tmp_path)["student"].revision == FIRST
    assert known_commits(Run.read(config, ["student.revision=v2"]), tmp_path) == {}
    assert known_commits(Run.read(config, ["student.model=org/other"]), tmp_path) == {}
