"""The run folder: opened once, resumed by the same configuration, never overwritten by anything else."""

import json
import os
import shutil

import pytest

from semalign.artifacts import read_json
from semalign.errors import UserError
from semalign.run_folder import FREE_BYTES, RunFolder

CONFIG = {"name": "tiny", "training": {"epochs": 3, "lora": {"rank": 4}}, "controls": {}, "seed": 0}


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(path, config=CONFIG):
    with pytest.raises(UserError) as caught:
        RunFolder.open(path, config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_new_folder_holds_the_configuration(tmp_path):
    folder = RunFolder.open(tmp_path / "a" / "run", CONFIG)
    assert snapshot(folder.path).keys() == {"config.yaml"}
    assert RunFolder.open(folder.path, CONFIG).costs() == []


def test_an_empty_folder_is_taken(tmp_path):
    assert RunFolder.open(tmp_path, CONFIG).path == tmp_path


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"seed": 1}, "seed: 0 there, 1 here"),
        ({"training": {"epochs": 3, "lora": {"rank": 8}}}, "training.lora.rank: 4 there, 8 here"),
        ({"training": {"epochs": 3}}, "training.lora: {'rank': 4} there, None here"),
        ({"device": "cpu"}, "device: None there, 'cpu' here"),
        ({"seed": 1, "name": "other"}, "name: 'tiny' there, 'other' here"),
    ],
)
def test_another_configuration_is_refused_with_the_first_difference(change, difference, tmp_path):
    RunFolder.open(tmp_path, CONFIG)
    before = snapshot(tmp_path)
    assert (
        refused(tmp_path, CONFIG | change)
        == f"{tmp_path}: already holds another run ({difference}); choose another --out"
    )
    assert snapshot(tmp_path) == before


def test_a_run_that_an_older_version_began_is_refused(tmp_path):
    folder = RunFolder.open(tmp_path / "run", CONFIG)
    with folder.stage("evaluate student"):
        pass
    assert RunFolder.open(folder.path, CONFIG).done("evaluate student")
    stages = read_json(folder / "stages.json")
    del stages["evaluate student"]["teacher_tokens"]
    (folder / "stages.json").write_text(json.dumps(stages))
    assert "begun by an older version" in refused(folder.path)


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    before = snapshot(tmp_path)
    assert refused(tmp_path) == f"{tmp_path}: is not empty and holds no run; choose another --out"
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("text", ["a: [", "just words", "- 1\n", "", "\xff"])
def test_a_config_file_that_is_not_ours_is_refused(text, tmp_path):
    (tmp_path / "config.yaml").write_bytes(text.encode("latin-1"))
    assert refused(tmp_path).startswith(f"{tmp_path}: already holds ")
    assert (tmp_path / "config.yaml").read_bytes() == text.encode("latin-1")


def test_a_file_is_refused(tmp_path):
    file = tmp_path / "run"
    file.write_text("x")
    assert refused(file) == f"{file}: is a file; give a folder as --out"
    assert refused(file / "below").startswith(f"{file / 'below'}: cannot be made (Not a directory)")


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=FREE_BYTES - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert refused(tmp_path / "run") == f"{tmp_path / 'run'}: less than 50 MB of disk space left; choose another --out"
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_gets_one_line(tmp_path):
    tmp_path.chmod(0o500)
    assert "choose another --out" in refused(tmp_path / "run")
    assert "choose another --out" in refused(tmp_path)
    tmp_path.chmod(0o700)


def test_a_folder_that_cannot_be_written_gets_one_line(tmp_path, monkeypatch):
    def closed(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", closed)
    message = refused(tmp_path)
    assert message == f"{tmp_path / 'config.yaml'}: cannot be written (Permission denied); choose another --out folder"


# stages


def test_a_stage_is_done_when_it_ends_well_and_keeps_its_cost(tmp_path):
    folder = RunFolder.open(tmp_path, CONFIG)
    assert not folder.done("train")
    with folder.stage("train") as cost:
        assert not folder.done("train")
        cost.tokens = 7
    assert folder.done("train")
    again = RunFolder.open(tmp_path, CONFIG)
    assert again.done("train")
    (held,) = again.costs()
    assert (held["stage"], held["tokens"]) == ("train", 7)
    assert held["seconds"] >= 0
    assert held["peak_bytes"] > 10**6  # a Python process with torch holds more than a megabyte


def test_a_stage_that_fails_is_not_done(tmp_path):
    folder = RunFolder.open(tmp_path, CONFIG)
    with pytest.raises(ZeroDivisionError), folder.stage("train"):
        _ = 1 / 0
    assert not RunFolder.open(tmp_path, CONFIG).done("train")


def test_a_damaged_list_of_stages_gets_one_line(tmp_path):
    RunFolder.open(tmp_path, CONFIG)
    (tmp_path / "stages.json").write_text('{"train": ')
    assert refused(tmp_path).startswith(f"{tmp_path / 'stages.json'} line 1: not valid JSON")


# inputs and status


def test_other_rows_or_weights_than_the_run_began_with_are_refused(tmp_path):
    folder = RunFolder.open(tmp_path, CONFIG)
    folder.check_inputs({"rows of sums": "a", "the student's weights": "b"})
    folder.check_inputs({"rows of sums": "a", "the student's weights": "b"})
    with pytest.raises(UserError) as caught:
        folder.check_inputs({"rows of sums": "a", "the student's weights": "c"})
    assert str(caught.value) == f"{tmp_path}: the student's weights changed since this run began; choose another --out"
    assert read_json(tmp_path / "inputs.json")["the student's weights"] == "b"


@pytest.mark.parametrize("status", ["running", "done", "failed", "cancelled"])
def test_the_status_says_what_is_and_which_stages_are_done(status, tmp_path):
    folder = RunFolder.open(tmp_path, CONFIG)
    with folder.stage("train"):
        pass
    folder.set_status(status, "why")
    assert json.loads((tmp_path / "status.json").read_text()) == {
        "status": status,
        "detail": "why",
        "stages": ["train"],
    }


# borrowing from another run


SHARED = {"teacher": "t", "student": "s", "data": "d", "evaluation": "e", "seed": 0, "device": "cpu", "root": "/r"}
INPUTS = {"rows of sums": "a"}
ADAPTED = ("prepare", "train", "evaluate")


def run_with(path, inputs=INPUTS, stages=(), **config):
    """A run's folder with finished stages, each with a file in its own folder."""
    folder = RunFolder.open(path, {**SHARED, "training": 1, "method": "m", **config})
    folder.check_inputs(inputs)
    for stage in stages:
        work, name = stage.split()
        place = path / {"evaluate": "eval"}.get(work, work) / name
        with folder.stage(stage) as cost:
            cost.tokens = 5
            place.mkdir(parents=True)
            (place / "sums.json").write_text(f"{stage} of {path.name}")
    return folder


UNTOUCHED = ["evaluate student", "evaluate teacher"]
WITH_ADAPTED = [*UNTOUCHED, *(f"{work} teacher_adapted" for work in ADAPTED)]


@pytest.fixture
def lender(tmp_path):
    return run_with(tmp_path / "lender", stages=[*WITH_ADAPTED, "train semalign"])


def test_a_run_borrows_what_another_measured_before_its_methods(lender, tmp_path):
    folder = run_with(tmp_path / "own", method="other")
    assert folder.borrow(lender.path) == WITH_ADAPTED
    again = RunFolder(tmp_path / "own")
    assert [stage for stage in [*WITH_ADAPTED, "train semalign"] if again.done(stage)] == WITH_ADAPTED
    assert (folder / "eval" / "teacher" / "sums.json").read_text() == "evaluate teacher of lender"
    assert (folder / "train" / "teacher_adapted" / "sums.json").read_text() == "train teacher_adapted of lender"
    ours, theirs = ({c["stage"]: c for c in each.costs()} for each in (again, lender))
    assert ours["evaluate student"] == {**theirs["evaluate student"], "borrowed": "../lender"}


def test_a_teacher_adapted_on_another_budget_is_not_borrowed(lender, tmp_path):
    assert run_with(tmp_path / "own", training=2).borrow(lender.path) == UNTOUCHED


@pytest.mark.parametrize("part", SHARED)
def test_nothing_is_borrowed_from_another_configuration(part, lender, tmp_path):
    folder = run_with(tmp_path / "own", **{part: "another"})
    assert folder.borrow(lender.path) == []
    assert not (folder / "eval").exists()


def test_nothing_is_borrowed_from_other_rows_or_from_a_run_that_never_began(lender, tmp_path):
    folder = run_with(tmp_path / "own", inputs={"rows of sums": "b"})
    assert folder.borrow(lender.path) == []
    assert folder.borrow(tmp_path / "nothing") == []


WEIGHTS = {"the student's weights": "s", "the teacher's weights": "t"}
ASKED = ["benchmarks student", "benchmarks teacher"]


@pytest.fixture
def asking(tmp_path):
    """A run that asked its untouched models benchmarks, which another seed's rows do not change."""
    stages = [*UNTOUCHED, *ASKED, "benchmarks semalign"]
    return run_with(tmp_path / "asking", inputs={**INPUTS, **WEIGHTS}, stages=stages, **asked_with(limit=3))


def asked_with(**benchmarks):
    return {"evaluation": {"split": "test", "benchmarks": benchmarks}}


def test_benchmarks_of_the_untouched_models_are_borrowed_with_their_scores(asking, tmp_path):
    folder = run_with(tmp_path / "own", inputs={**INPUTS, **WEIGHTS}, method="other", **asked_with(limit=3))
    assert sorted(folder.borrow(asking.path)) == sorted([*UNTOUCHED, *ASKED])
    assert (folder / "benchmarks" / "teacher" / "sums.json").read_text() == "benchmarks teacher of asking"


def test_with_another_seed_and_other_rows_the_benchmarks_alone_are_borrowed(asking, tmp_path):
    inputs = {"rows of sums": "other", **WEIGHTS}
    assert run_with(tmp_path / "own", inputs=inputs, seed=1, **asked_with(limit=3)).borrow(asking.path) == ASKED


@pytest.mark.parametrize(
    ("changed", "left"),
    [
        ({"inputs": {**WEIGHTS, "the student's weights": "other"}}, ["benchmarks teacher"]),
        ({"evaluation": asked_with(limit=4)["evaluation"]}, []),
        ({"device": "cuda"}, []),
        ({"root": "/elsewhere"}, []),
    ],
)
def test_benchmarks_of_other_weights_or_asked_otherwise_are_not_borrowed(changed, left, asking, tmp_path):
    given = {"inputs": WEIGHTS, "seed": 1, **asked_with(limit=3), **changed}
    assert run_with(tmp_path / "own", **given).borrow(asking.path) == left


def test_what_a_run_has_itself_stays(lender, tmp_path):
    folder = run_with(tmp_path / "own", stages=["evaluate student"])
    assert folder.borrow(lender.path) == WITH_ADAPTED[1:]
    assert (folder / "eval" / "student" / "sums.json").read_text() == "evaluate student of own"
    assert folder.borrow(lender.path) == []


# finished or not


def test_a_run_is_finished_when_it_is_this_one_and_done(tmp_path):
    assert not RunFolder.finished(tmp_path, CONFIG)
    folder = RunFolder.open(tmp_path, CONFIG)
    assert not RunFolder.finished(tmp_path, CONFIG)
    folder.set_status("failed", "why")
    assert not RunFolder.finished(tmp_path, CONFIG)
    folder.set_status("done")
    assert RunFolder.finished(tmp_path, CONFIG)
    with pytest.raises(UserError, match="already holds another run"):
        RunFolder.finished(tmp_path, {**CONFIG, "seed": 99})
