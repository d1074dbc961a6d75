"""The doctor: what it finds in a sound run, in spoilt ones, and that it leaves everything as it was."""

import json

import pytest
import torch
import yaml
from tiny_run import config_of

from semalign.config import Run
from semalign.costs import Cost
from semalign.doctor import Finding, examine
from semalign.doctor.finding import exit_code
from semalign.doctor.rows import micro_of
from semalign.doctor.subject import Subject
from semalign.doctor.terms import examine_terms
from semalign.doctor.trial import Trial, tried
from semalign.methods import Plan
from semalign.pipeline import run
from semalign.prepare import cut_rows


def found(diagnosis, words):
    (finding,) = [finding for finding in diagnosis.findings if words in finding.what]
    return finding


@pytest.fixture(scope="module")
def sound(world):
    return examine(config_of(world, tasks=("names",), name="sound"))


def test_every_stage_has_a_time_and_a_peak(sound):
    stages = [forecast.stage for forecast in sound.forecasts]
    expected = ["evaluate student", "evaluate teacher", "diagnose student"]
    parts = ("prepare", "train", "evaluate", "diagnose")
    expected += [f"{stage} {name}" for name in ("sft", "semalign") for stage in parts]
    assert stages == expected
    assert all(forecast.peak_bytes > 0 for forecast in sound.forecasts)
    assert all(forecast.seconds > 0 for forecast in sound.forecasts if not forecast.stage.startswith("prepare"))


def test_the_stages_are_those_of_the_run(world, tmp_path):
    teacher = {"model": "./teacher", "adapt": True}
    config = config_of(world, tasks=("names",), name="stages", teacher=teacher, controls=[])
    foretold = {forecast.stage for forecast in examine(config).forecasts}
    done = set(json.loads((run(config, tmp_path / "run") / "stages.json").read_text()))
    assert done - foretold == {"export", "basis curves"}
    assert foretold <= done


def test_whatever_is_wrong_says_what_to_do(sound):
    assert {"ok", "warning"} <= {finding.severity for finding in sound.findings}
    assert all(finding.what_to_do for finding in sound.findings if finding.severity in ("warning", "error"))


@pytest.mark.parametrize(
    ("severities", "code"), [((), 0), (("ok", "note"), 0), (("note", "warning"), 1), (("error", "warning"), 2)]
)
def test_the_exit_code_is_that_of_the_worst(severities, code):
    assert exit_code([Finding(severity, "a", "b") for severity in severities]) == code


def test_nothing_is_written_and_json_is_json(world, say):
    config = config_of(world, tasks=("names",), name="json", controls=[])
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*")}
    said = say("doctor", config, "--json")
    plain = json.loads(said.out)
    assert said.code == plain["exit_code"]
    assert {finding["severity"] for finding in plain["findings"]} <= {"ok", "note", "warning", "error"}
    assert {path: path.stat().st_mtime_ns for path in world.rglob("*")} == before


def test_quick_looks_at_models_and_rows_and_says_what_it_left_out(world, sound, say):
    said = say("doctor", config_of(world, tasks=("names",), name="quick"), "--quick", "--json")
    plain = json.loads(said.out)
    assert plain["stages"] == []
    assert "trying" not in said.err
    *looked_at, left_out = plain["findings"]
    assert looked_at == [finding.plain() for finding in sound.findings][: len(looked_at)]
    assert any("bits per byte" in finding["what"] for finding in looked_at)
    assert left_out["what_to_do"] == "leave --quick out before a long run"


def test_cut_rows_are_counted(world):
    values = yaml.safe_load(config_of(world, tasks=("sums",), name="cut", controls=[]).read_text())
    rows = Subject.load(Run.read(world / "cut.yaml")).rows.split("train")
    values["data"]["max_length"] = max(len(example.input_ids) for example in rows) - 1
    (world / "cut.yaml").write_text(yaml.safe_dump(values))
    subject = Subject.load(Run.read(world / "cut.yaml"))
    n_cut = sum(example.truncated for example in subject.rows.split("train"))
    assert n_cut > 0
    assert cut_rows(subject.config, subject.rows)[0].startswith(f"{n_cut} of {len(subject.rows.split('train'))} train")
    told = [finding for finding in examine(world / "cut.yaml").findings if finding.where == "sums, train"]
    assert [finding.what.partition(" of")[0] for finding in told] == [str(n_cut)]


def test_a_teacher_that_is_the_student_has_nothing_to_give(world):
    config = config_of(world, tasks=("names",), name="same", teacher="./student", controls=[])
    assert found(examine(config), "the teacher is not better").severity == "warning"


def test_a_term_that_drowns_is_told():
    base = {"name": "m", "plan": Plan(layers=(0,)), "planned": Cost("plan")}
    (warned,) = examine_terms(Trial(**base, norms={"kl": 1.0, "latent_mse": 101.0}))
    assert warned.severity == "warning"
    assert warned.what.startswith("kl:")
    (fine,) = examine_terms(Trial(**base, norms={"kl": 1.0, "latent_mse": 99.0}))
    assert fine.severity == "ok"


def test_norms_are_those_of_training_and_the_student_stays_as_it_was(world):
    subject = Subject.load(Run.read(config_of(world, tasks=("names",), name="norms")))
    before = {name: p.clone() for name, p in subject.student.module.named_parameters()}
    method, micro = subject.config.method, micro_of(subject)
    trial = tried("semalign", method, subject.context, micro, subject.config.training)
    after = dict(subject.student.module.named_parameters())
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert set(trial.norms) == {"latent_cosine", "onehot_cosine"}
    assert all(norm > 0 for norm in trial.norms.values())


def test_a_mistake_is_one_line(world, say):
    said = say("doctor", world / "nowhere.yaml")
    assert (said.code, said.out) == (2, "")
    assert said.err == f"semalign: {world}/nowhere.yaml: no such configuration file\n"


@pytest.mark.parametrize(("controls", "said"), [(["sft"], True), (["sft", "pissa"], False)])
def test_a_start_that_no_control_shares_is_a_note(world, controls, said):
    method = {"name": "semalign", "start": "principal"}
    training = {"epochs": 1, "batch_size": 20, "learning_rate": 0.01, "lora": {"rank": 2, "alpha": 2}}
    config = config_of(world, tasks=("names",), name="start", method=method, controls=controls, training=training)
    found = [finding for finding in examine(config, quick=True).findings if finding.where == "controls"]
    assert [finding.severity for finding in found] == ["note"] * said
    assert all("pissa" in finding.what_to_do for finding in found)
