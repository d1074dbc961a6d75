"""The doctor: what it finds in a sound run, in spoilt ones, and that it leaves everything as it was."""

import json
from dataclasses import astuple

import pytest
import torch
import yaml
from seq2seq_world import write_learned
from tiny_run import config_of, make_tokenizer

from semalign.config import Run
from semalign.costs import Cost
from semalign.doctor import Finding, examine, writing
from semalign.doctor.finding import exit_code
from semalign.doctor.forecast import forecast_method
from semalign.doctor.rows import micro_of
from semalign.doctor.subject import Subject
from semalign.doctor.terms import examine_terms
from semalign.doctor.trial import Trial, tried
from semalign.doctor.writing import _Pace, forecast_writing
from semalign.evaluation import Memory, write_texts
from semalign.methods import Plan
from semalign.models import load
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


def asking(world, name, *, n_prompt=10, train=8, tasks=("names",), **changes):
    """A configuration whose teacher is asked prompts beside few gold rows."""
    rows = {"train": train} | ({"prompts": n_prompt} if n_prompt else {})
    given = [{"name": task, "folder": task, "score": "likelihood", "rows": rows} for task in tasks]
    training = {"epochs": 2, "batch_size": 4, "learning_rate": 0.01, "lora": {"rank": 2}}
    data = {"template": "plain", "max_length": 48, "tasks": given}
    return config_of(world, name=name, **({"data": data, "training": training, "controls": []} | changes))


BOTH = {"name": "semalign", "answers": "both"}


def test_the_stage_of_the_teachers_answers_is_foretold_where_the_run_has_it(world, tmp_path):
    teacher = {"model": "./teacher", "adapt": True, "writes": {"max_new_tokens": 40, "temperature": 1.0}}
    config = asking(world, "answered", teacher=teacher, method=BOTH)
    values = yaml.safe_load(config.read_text())
    values["data"]["tasks"][0]["stop"] = ["e", "a", "i", "o", "n"]  # so that an untrained teacher ends
    config.write_text(yaml.safe_dump(values))
    foretold = examine(config).forecasts
    done = list(json.loads((run(config, tmp_path / "run") / "stages.json").read_text()))
    stages = [forecast.stage for forecast in foretold]
    assert set(done) - set(stages) == {"export", "basis curves"}
    assert stages == [stage for stage in done if stage in stages]
    (writing,) = [forecast for forecast in foretold if forecast.stage == "write answers"]
    assert writing.seconds > 0
    assert writing.peak_bytes > 0


def test_what_writing_takes_is_put_together_from_rows_tokens_and_steps():
    pace = _Pace(call=100.0, row=10.0, step=1.0, token=0.1)
    # 5 rows in batches of 2: 3 batches, each as long as the longest of two gold answers, 4 and 8, on average
    assert pace.seconds(5, [4, 2, 6, 8], 2) == pytest.approx(100 + 5 * 10 + 3 * 6 * 1 + 5 * 5 * 0.1)


@pytest.mark.parametrize("size", [1, 3])
def test_pace_is_found_from_one_row_and_from_several(world, size, monkeypatch):
    """A writer of known pace; every call has a price of its own, which one row alone cannot tell from the row's."""
    truth = _Pace(call=7.0, row=3.0, step=0.5, token=0.25)

    def written(_subject, _task, rows, n_token):
        n_row = len(rows)
        return truth.call + n_row * truth.row + n_token * (truth.step + n_row * truth.token), 0

    monkeypatch.setattr(writing, "_written", written)
    subject = Subject.load(Run.read(asking(world, "pace", method=BOTH)))
    (task,) = subject.rows.tasks
    found = writing._pace(subject, task, task.splits["prompts"], size)
    assert astuple(found) == pytest.approx(astuple(truth) if size > 1 else (0.0, 10.0, 0.75, 0.0))


@pytest.mark.parametrize("family", ["llama", "bart"])
def test_texts_that_are_timed_do_not_end_before(world, family, tmp_path):
    subject = Subject.load(Run.read(asking(world, "endless", method=BOTH)))
    rows, read, teacher = subject.rows.tasks[0].splits["prompts"], [], subject.teacher
    if family != "llama":
        write_learned(tmp_path / family, family, make_tokenizer(), n_step=0)
        teacher = load(str(tmp_path / family))
    for endless in (False, True):
        how = {"template": "plain", "batch_size": 4, "memory": Memory(), "endless": endless}
        settings = {"until": [], "max_gen_toks": 40, "do_sample": True, "temperature": 1e3, "seed": 0}
        read.append([text.ended for text in write_texts(teacher, rows * 4, settings=settings, **how)])
    assert any(read[0])  # one token in 300 ends a text: of 1600 drawn ones some do
    assert not any(read[1])


def test_the_teacher_is_as_before_after_its_writing_was_timed(world):
    config = asking(world, "before", teacher={"model": "./teacher", "adapt": True}, method=BOTH)
    subject = Subject.load(Run.read(config))
    before = {name: p.clone() for name, p in subject.teacher.module.named_parameters()}
    forecast_writing(subject)
    after = dict(subject.teacher.module.named_parameters())
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_answers_make_for_more_steps_of_students_but_not_of_the_teacher(world):
    subject = Subject.load(Run.read(asking(world, "steps", method=BOTH)))
    trial = Trial(
        "m", Plan(layers=(0,)), Cost("plan"), seconds_a_position=1.0, norm_seconds=0.5, peak_bytes=1, n_trainable=1
    )
    micro = micro_of(subject)
    gold, more = (forecast_method(subject, trial, micro, n_prompt=n)[-1].seconds for n in (0, 10))
    n_position = 2 * sum(batch.input_ids.numel() for batch in micro)
    assert gold == n_position + 0.5  # 4 steps, all of which fall into one interval between two measures of norms
    assert more == pytest.approx(n_position * 5 / 2 + 0.5)  # 18 rows are 5 steps of 4, where 8 gold ones were 2


TOLD = {
    "both": ({"method": BOTH}, "note", "will answer: 10 of names", "set teacher.adapt"),
    "unused": ({}, "warning", "10 prompts are answered, but no method", "set answers: both on one, or leave rows.p"),
    "none": ({"method": BOTH, "n_prompt": 0}, "error", "no task has prompts", "give rows.prompts"),
}


@pytest.mark.parametrize("name", TOLD)
def test_prompts_and_those_who_train_on_the_answers_are_told(world, name):
    changes, severity, words, to_do = TOLD[name]
    told = found(examine(asking(world, name, **changes), quick=True), words)
    assert told.severity == severity
    assert told.what_to_do.startswith(to_do)


def test_a_run_without_prompts_is_told_nothing_of_answers(sound):
    assert not [finding for finding in sound.findings if "prompts" in finding.what]


@pytest.mark.parametrize(("control", "said"), [("sft", True), ({"name": "sft", "answers": "both"}, False)])
def test_answers_that_no_control_is_trained_on_are_a_note(world, control, said):
    config = asking(world, "shared", method=BOTH, controls={"control": control})
    found = [finding for finding in examine(config, quick=True).findings if finding.where == "controls"]
    assert [finding.severity for finding in found] == ["note"] * said
    assert all("'answers: both'" in finding.what_to_do for finding in found)


def test_prompts_that_no_method_needs_are_warned_of_in_the_run_too(world, tmp_path):
    values = yaml.safe_load(asking(world, "idle", teacher={"model": "./teacher", "adapt": False}).read_text())
    values["teacher"]["writes"] = {"max_new_tokens": 40, "temperature": 1.0}
    values["data"]["tasks"][0]["stop"] = ["e", "a", "i", "o", "n"]
    (world / "idle.yaml").write_text(yaml.safe_dump(values))
    warnings = json.loads((run(world / "idle.yaml", tmp_path / "run") / "record.json").read_text())["warnings"]
    assert [line for line in warnings if "prompts are answered" in line] == [
        "10 prompts are answered, but no method trains on the answers; set answers: both on one, or leave rows.prompts "
        "out"
    ]
    alone = run(world / "idle.yaml", tmp_path / "alone", pages=False)
    assert not any(
        "prompts are answered" in line for line in json.loads((alone / "record.json").read_text())["warnings"]
    )
