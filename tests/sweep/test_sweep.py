"""A sweep on the tiny pair: what it runs, borrows, skips, refuses and survives."""

import json
import shutil

import pytest
from tiny_run import config_of

from semalign import pipeline
from semalign.artifacts import read_json
from semalign.config import Run
from semalign.errors import UserError
from semalign.methods import base as methods
from semalign.progress import Reporter
from semalign.sweep import find_variants
from semalign.sweep import sweep as start
from semalign.sweep.plan import plan

OVER = ["method.pairing=depth,critical", "method.basis=logit"]


@pytest.fixture(scope="module")
def config(world):
    return config_of(world, tasks=("names",))


def sweep(config, out, over=OVER, **options):
    variants = find_variants(over, None, one_at_a_time=True)
    return start(config, variants, out=out, reporter=Reporter(quiet=True), **options)


@pytest.fixture(scope="module")
def swept(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweeps") / "swept"
    assert sweep(config, out, seeds=2).failed == {}
    return out


def files(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()}


def stages(folder):
    return read_json(folder / "stages.json")


# configurations


def planned(config, over, overrides=()):
    return plan(config, find_variants(over, None, one_at_a_time=True), overrides)[0]


def test_the_base_keeps_its_controls_and_variants_have_none(config):
    base, depth, *_ = planned(config, OVER)
    assert list(base.config.controls) == ["sft"]
    assert not depth.config.controls
    assert depth.config.method.pairing.name == "depth"
    assert {**depth.config.plain(), "method": 0, "controls": 0} == {**base.config.plain(), "method": 0, "controls": 0}


def test_a_variant_that_says_what_the_base_says_shares_its_runs(config):
    assert [each.folder for each in planned(config, OVER)] == [
        "base",
        "method.pairing=depth",
        "base",
        "method.basis=logit",
    ]


@pytest.mark.parametrize(
    ("over", "complaint"),
    [
        ("method.pairing=depth,deepth", "variant 'method.pairing=deepth'"),
        ("method.pairng=depth", "variant 'method.pairng=depth'"),
        ("method.pairing=[depth, {name: manual, pairs: [[9, 0]]}]", "variant 'method.pairing=manual pairs="),
        ("seed=1,2", "vary the seed with --seeds"),
    ],
)
def test_one_bad_variant_is_named_before_anything_runs(over, complaint, config, tmp_path):
    with pytest.raises(UserError) as caught:
        sweep(config, tmp_path / "out", [over])
    assert complaint in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_variant_with_another_budget_is_marked(config):
    base, more, depth = planned(config, ["training.epochs=2", "method.pairing=depth"])
    assert (base.budget, more.budget, depth.budget) == ((), ("training.epochs",), ())


# running


@pytest.mark.slow
def test_every_variant_and_seed_has_a_finished_run(swept):
    runs = {str(path.parent.relative_to(swept)) for path in swept.rglob("record.json")}
    names = ("base", "method.pairing=depth", "method.basis=logit")
    assert runs == {f"{name}/seed-{seed}" for name in names for seed in (0, 1)}
    for run in runs:
        assert read_json(swept / run / "status.json")["status"] == "done"
        assert Run.read(swept / run / "config.yaml").seed == int(run[-1])
    manifest = read_json(swept / "sweep.json")
    assert [each["name"] for each in manifest["variants"]] == [
        "base",
        *(v.name for v in find_variants(OVER, None, one_at_a_time=True)),
    ]
    assert manifest["seeds"] == [0, 1]


@pytest.mark.slow
def test_untouched_models_are_scored_once_a_seed(swept):
    base, depth = (stages(swept / name / "seed-1") for name in ("base", "method.pairing=depth"))
    for stage in ("evaluate student", "evaluate teacher"):
        assert depth[stage] == {**base[stage], "borrowed": "../../base/seed-1"}
        assert "borrowed" not in base[stage]
    for name in ("student", "teacher"):
        ours, theirs = (
            swept / run / "seed-1" / "eval" / name / "names.json" for run in ("base", "method.pairing=depth")
        )
        assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.slow
def test_a_run_of_a_sweep_is_the_run_alone(swept, config, tmp_path):
    settings = ["method.pairing=depth", "controls={}", "seed=1"]
    alone = pipeline.run(config, tmp_path / "alone", overrides=settings, reporter=Reporter(quiet=True))
    ours, theirs = (read_json(run / "record.json") for run in (swept / "method.pairing=depth" / "seed-1", alone))
    assert ours["scores"] == theirs["scores"]
    adapter = "train/semalign/adapter/adapter_model.safetensors"
    assert (swept / "method.pairing=depth" / "seed-1" / adapter).read_bytes() == (alone / adapter).read_bytes()
    assert not (swept / "method.pairing=depth" / "seed-1" / "report.html").exists()  # pages are for single runs


@pytest.mark.slow
def test_a_finished_sweep_repeats_nothing(swept, config):
    before = files(swept)
    outcome = sweep(config, swept, seeds=2)
    assert (outcome.done, outcome.skipped, outcome.failed) == (0, 6, {})
    assert files(swept) == before


@pytest.mark.slow
def test_a_stopped_sweep_goes_on_where_it_was(config, tmp_path, monkeypatch):
    out = tmp_path / "stopped"
    run, seen = pipeline.run, []

    def second_stops(given, folder, **options):
        seen.append(folder)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return run(given, folder, **options)

    monkeypatch.setattr("semalign.sweep.jobs.run", second_stops)
    with pytest.raises(KeyboardInterrupt):
        sweep(config, out)
    monkeypatch.undo()
    kept = files(out / "base")
    outcome = sweep(config, out)
    assert (outcome.done, outcome.skipped) == (2, 1)
    assert files(out / "base") == kept


@pytest.mark.slow
def test_more_seeds_and_variants_may_join_later(swept, config, tmp_path):
    out = tmp_path / "more"
    shutil.copytree(swept, out)
    outcome = sweep(config, out, ["method.pairing=reverse"], seeds=1)
    assert (outcome.done, outcome.skipped) == (1, 1)
    manifest = read_json(out / "sweep.json")
    assert [each["name"] for each in manifest["variants"]][-1] == "method.pairing=reverse"
    assert len(manifest["variants"]) == 5
    assert manifest["seeds"] == [0, 1]


@pytest.mark.slow
def test_another_configuration_is_refused_in_the_same_folder(swept, config):
    before = files(swept)
    with pytest.raises(UserError, match=r"already holds another run \(training.epochs: 1 there, 3 here\)"):
        sweep(config, swept, overrides=["training.epochs=3"])
    assert files(swept) == before


def test_a_folder_with_something_else_is_refused(config, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty and holds no sweep"):
        sweep(config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_runs_that_fail_are_listed_and_the_others_go_on(config, tmp_path, monkeypatch):
    train = methods.train
    errors = {
        "method.pairing=depth": UserError("no disk space left"),
        "method.basis=logit": RuntimeError("boom\nagain"),
    }

    def failing(step, *args, **options):
        error = errors.get(options["folder"].parent.parent.parent.name)
        if error is not None:
            raise error
        return train(step, *args, **options)

    monkeypatch.setattr(methods, "train", failing)
    outcome = sweep(config, tmp_path / "out")
    assert outcome.failed == {
        "method.pairing=depth seed 0": "no disk space left",
        "method.basis=logit seed 0": "RuntimeError: boom",
    }
    assert (outcome.done, outcome.skipped) == (1, 0)
    status = read_json(tmp_path / "out" / "method.pairing=depth" / "seed-0" / "status.json")
    assert (status["status"], status["detail"]) == ("failed", "no disk space left")
    monkeypatch.undo()
    again = sweep(config, tmp_path / "out")  # what failed is tried again, the others are kept
    assert (again.done, again.skipped, again.failed) == (2, 1, {})


@pytest.mark.slow
def test_an_adapted_teacher_is_trained_once_a_seed(world, tmp_path):
    config = config_of(world, tasks=("names",), name="adapted", teacher={"model": "./teacher", "adapt": True})
    sweep(config, tmp_path / "out", ["method.pairing=depth", "training.epochs=2"])
    shared, longer = (
        stages(tmp_path / "out" / name / "seed-0") for name in ("method.pairing=depth", "training.epochs=2")
    )
    for work in ("prepare", "train", "evaluate"):
        assert "borrowed" in shared[f"{work} teacher_adapted"]
        assert "borrowed" not in longer[f"{work} teacher_adapted"]  # other epochs, another teacher
    assert "borrowed" in longer["evaluate teacher"]
    record = read_json(tmp_path / "out" / "method.pairing=depth" / "seed-0" / "record.json")
    assert record["reference"] == "teacher_adapted"


@pytest.mark.slow
def test_workers_find_what_one_process_finds(swept, config, tmp_path):
    outcome = sweep(config, tmp_path / "out", seeds=2, n_job=2)
    assert (outcome.done, outcome.failed) == (6, {})
    for path in sorted(swept.rglob("record.json")):
        ours, theirs = (json.loads((root / path.relative_to(swept)).read_text()) for root in (swept, tmp_path / "out"))
        assert ours["scores"] == theirs["scores"]
    assert "borrowed" in stages(tmp_path / "out" / "method.pairing=depth" / "seed-1")["evaluate student"]
