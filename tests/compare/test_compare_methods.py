"""A comparison of methods on the tiny pair: what it runs, borrows, goes on with, refuses, survives and writes."""

import csv
import itertools
import json
import shutil

import pytest
import yaml
from tiny_run import config_of

from semalign import pipeline
from semalign.artifacts import read_json
from semalign.compare import compare_methods
from semalign.errors import UserError
from semalign.methods import base as methods
from semalign.progress import Reporter

pytestmark = pytest.mark.slow

NUMBER = itertools.count()
PAIR = {"teacher": {"model": "./teacher", "adapt": True}, "student": "./student"}
METHODS = {
    "sft": "sft",
    "semalign-v1": "semalign",
    "semalign": {"name": "semalign", "basis": "logit", "site": "block_out", "outputs": ["cross_entropy", "kl"]},
}


def write(world, name="tiny", **changes):
    run = yaml.safe_load(config_of(world, tasks=("names", "colours")).read_text("utf-8"))
    shared = {"name": name, "pairs": {"pair": PAIR}, "data": run["data"], "training": run["training"]}
    path = world / f"comparison-{next(NUMBER)}.yaml"
    path.write_text(yaml.safe_dump({**shared, "methods": METHODS, "seeds": 2, **changes}, sort_keys=False))
    return path


def compare(config, out, **options):
    return compare_methods(config, out, reporter=Reporter(quiet=True), **options)


@pytest.fixture(scope="module")
def config(world):
    return write(world)


@pytest.fixture(scope="module")
def done(config, tmp_path_factory):
    return compare(config, tmp_path_factory.mktemp("comparisons") / "done")


@pytest.fixture
def copied(done, tmp_path):
    shutil.copytree(done.outcome.folder, tmp_path / "copied")
    return tmp_path / "copied"


def counts(compared):
    outcome = compared.outcome
    return outcome.done, outcome.skipped, len(outcome.failed)


# running


def test_runs_share_a_cache_of_the_teacher_and_who_cannot_use_it_is_told(world, tmp_path, capfd):
    methods = {name: METHODS[name] for name in ("sft", "semalign")} | {"own": {"name": "gkd", "max_new_tokens": 4}}
    pair = {**PAIR, "teacher": {"model": "./teacher"}}
    training = {**yaml.safe_load(config_of(world).read_text("utf-8"))["training"], "epochs": 1}
    shared = {"states": "float32", "folder": str(tmp_path / "kept")}
    config = write(world, pairs={"pair": pair}, methods=methods, training=training, seeds=2, cache=shared)
    found = compare_methods(config, tmp_path / "out", reporter=Reporter(plain=True))
    assert counts(found) == (6, 0, 0)
    assert "own: trains with the teacher in memory; what 'gkd' asks of it is not cached" in capfd.readouterr().err
    stages = {name: read_json(tmp_path / "out" / "pair" / name / "seed-0" / "stages.json") for name in methods}
    assert {name for name, own in stages.items() if any(stage.startswith("cache ") for stage in own)} == {"semalign"}
    told = [
        read_json(tmp_path / "out" / "pair" / "semalign" / f"seed-{seed}" / "train" / "semalign" / "cache.json")
        for seed in (0, 1)
    ]
    assert [facts["folder"].startswith(shared["folder"]) for facts in told] == [True, True]
    assert list((tmp_path / "kept").rglob("*.safetensors"))


def test_every_method_and_seed_is_one_run(done):
    out = done.outcome.folder
    runs = {str(path.parent.relative_to(out)) for path in out.rglob("record.json")}
    assert runs == {f"pair/{name}/seed-{seed}" for name in METHODS for seed in (0, 1)}
    assert counts(done) == (6, 0, 0)


def test_the_untouched_models_and_the_adapted_teacher_are_those_of_the_first_method(done):
    stages = read_json(done.outcome.folder / "pair" / "semalign" / "seed-1" / "stages.json")
    untouched = ["evaluate student", "evaluate teacher", "train teacher_adapted", "evaluate teacher_adapted"]
    assert all(stages[stage]["borrowed"] == "../../sft/seed-1" for stage in untouched)
    assert "borrowed" not in stages["train semalign"]


def test_the_same_command_repeats_nothing(done, config):
    held = {path: path.stat().st_mtime_ns for path in (done.outcome.folder / "pair").rglob("*") if path.is_file()}
    again = compare(config, done.outcome.folder)
    assert counts(again) == (0, 6, 0)
    assert again.found == done.found
    now = {path: path.stat().st_mtime_ns for path in (done.outcome.folder / "pair").rglob("*") if path.is_file()}
    assert now == held


def test_a_stopped_comparison_goes_on_where_it_was(config, tmp_path, monkeypatch, done):
    run, seen = pipeline.run, []

    def third_stops(given, folder, **options):
        seen.append(folder)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return run(given, folder, **options)

    monkeypatch.setattr("semalign.sweep.jobs.run", third_stops)
    with pytest.raises(KeyboardInterrupt):
        compare(config, tmp_path / "out")
    monkeypatch.undo()
    again = compare(config, tmp_path / "out")
    assert counts(again) == (4, 2, 0)
    assert again.found is not None
    assert done.found is not None
    assert again.found["tasks"] == done.found["tasks"]


def test_a_seed_and_a_method_may_join(world, copied):
    more = {**METHODS, "logit-kd": "logit_kd"}
    joined = compare(write(world, methods=more, seeds=3), copied)
    assert counts(joined) == (6, 6, 0)
    assert joined.found is not None
    assert joined.found["methods"]["logit-kd"]["seeds"] == [0, 1, 2]
    assert joined.found["answer"]["rivals"] == ["sft", "logit-kd"]


def test_two_processes_find_what_one_finds(config, done, tmp_path):
    two = compare(config, tmp_path / "out", n_job=2)
    assert counts(two) == (6, 0, 0)
    assert two.found is not None
    assert done.found is not None
    assert two.found["tasks"] == done.found["tasks"]
    assert two.found["significance"] == done.found["significance"]


def test_a_failed_run_is_listed_kept_out_and_tried_again(config, tmp_path, monkeypatch):
    train = methods.train

    def failing(step, *args, **options):
        if options["folder"].parts[-4:-1] == ("semalign", "seed-1", "train"):
            raise UserError("training stopped")
        return train(step, *args, **options)

    monkeypatch.setattr(methods, "train", failing)
    broken = compare(config, tmp_path / "out")
    assert broken.outcome.failed == {"pair/semalign seed 1": "training stopped"}
    found = broken.found
    assert found is not None
    assert (found["methods"]["semalign"]["seeds"], found["methods"]["sft"]["seeds"]) == ([0], [0, 1])
    (failed,) = found["failed"]
    assert failed["folder"].endswith("pair/semalign/seed-1")
    assert "training stopped" in (tmp_path / "out" / "compare.md").read_text()
    monkeypatch.undo()
    repaired = compare(config, tmp_path / "out")
    assert counts(repaired) == (1, 5, 0)
    assert repaired.found is not None
    assert repaired.found["failed"] == []


def test_where_every_run_fails_there_is_no_table(config, tmp_path, monkeypatch):
    def failing(*_args, **_options):
        raise UserError("no")

    monkeypatch.setattr(methods, "train", failing)
    broken = compare(config, tmp_path / "out")
    assert (broken.found, len(broken.outcome.failed)) == (None, 6)
    assert not (tmp_path / "out" / "compare.json").exists()


# refused


def test_a_method_that_does_not_fit_is_named_before_anything_runs(world, tmp_path):
    config = write(world, methods={**METHODS, "deep": {"name": "sft", "layers": [9]}})
    with pytest.raises(UserError, match=r"^method 'deep' on pair 'pair': method 'sft': layer 9 does not exist"):
        compare(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_configuration_of_a_run_is_refused_in_its_folder(world, copied):
    before = (copied / "compare.json").read_bytes(), (copied / "comparison.json").read_bytes()
    changed = write(world, methods={**METHODS, "sft": {"name": "sft", "layers": [0]}})
    with pytest.raises(UserError, match=r"pair/sft/seed-0: already holds another run \(method.layers"):
        compare(changed, copied)
    assert before == ((copied / "compare.json").read_bytes(), (copied / "comparison.json").read_bytes())


def test_another_comparison_is_not_written_over_this_one(world, copied):
    before = (copied / "compare.json").read_bytes(), (copied / "comparison.json").read_bytes()
    for changes, what in (
        ({"pairs": {"other": PAIR}}, "pairs.pair"),
        ({"evaluation": {"batch_size": 7}}, "evaluation"),
    ):
        with pytest.raises(UserError, match=f"already holds another comparison \\({what} differs\\)"):
            compare(write(world, **changes), copied)
    assert before == ((copied / "compare.json").read_bytes(), (copied / "comparison.json").read_bytes())


def test_a_folder_with_something_else_is_refused(config, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else than a comparison"):
        compare(config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


# what is written


def test_the_json_has_the_promised_shape(done):
    found = read_json(done.outcome.folder / "compare.json")
    names = ["student", *METHODS, "teacher", "teacher_adapted"]
    assert list(found["methods"]) == names
    assert list(found["tasks"]) == ["colours", "names"]
    for method in found["methods"].values():
        for part in ("mean_gap", "signed_gap", "mean_score"):
            assert method[part].keys() == {"value", "low", "high"}
            assert method[part]["low"] <= method[part]["value"] <= method[part]["high"]
        assert method.keys() >= {"seconds", "peak_bytes", "trainable", "teacher_tokens"}
    for row in found["tasks"].values():
        assert list(row) == names
    assert found["answer"]["gap_ratio"].keys() == {"value", "low", "high"}
    assert found["answer"]["recommended"] == found["base"] == "semalign"
    assert found["reference"] == "teacher_adapted"
    assert [each["seeds"] for each in found["answer"]["against"].values()] == [2, 2, 2]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_only_methods_with_a_teacher_cost_teacher_tokens(done):
    read = {name: method["teacher_tokens"] for name, method in done.found["methods"].items()}
    assert read["student"] == read["sft"] == read["teacher"] == 0
    train = done.found["methods"]["semalign"]["train_tokens"]
    assert read["semalign"] > train > 0
    assert read["semalign-v1"] > train


def test_page_text_and_table_tell_the_same(done):
    out = done.outcome.folder
    text, page = (out / "compare.md").read_text(), (out / "compare.html").read_text()
    words = done.found["answer"]["words"]
    assert text.startswith(f"# tiny\n\n{words}\n")
    assert words in page
    assert all(title in page for title in ("Scores and closeness", "Gap to the teacher by task", "Costs"))
    assert "- semalign-v1: `{name: semalign, " in text
    rows = list(csv.DictReader((out / "compare.csv").open()))
    assert len(rows) == 6 * 3
    (row,) = [row for row in rows if (row["name"], row["task"]) == ("semalign", "mean")]
    method = done.found["methods"]["semalign"]
    for column, value in (
        ("gap", method["signed_gap"]["value"]),
        ("closeness", method["mean_gap"]["value"]),
        ("teacher_tokens", method["teacher_tokens"]),
    ):
        assert float(row[column]) == value


def test_two_pairs_have_a_comparison_each_and_one_over_both(world, tmp_path):
    pairs = {"short": PAIR, "long": {**PAIR, "training": {"epochs": 2}}}
    config = write(world, "two", pairs=pairs, seeds=[3], methods={"sft": "sft", "semalign": METHODS["semalign"]})
    whole = compare(config, tmp_path / "out")
    assert counts(whole) == (4, 0, 0)
    out = tmp_path / "out"
    for folder in (out, out / "short", out / "long"):
        assert {path.suffix for path in folder.glob("compare.*")} == {".json", ".md", ".csv", ".html"}
    assert list(whole.found["tasks"]) == ["short/colours", "short/names", "long/colours", "long/names"]
    steps = [read_json(out / pair / "compare.json")["methods"]["sft"]["steps"] for pair in ("short", "long")]
    assert steps == [2, 4]
    assert whole.found == read_json(out / "compare.json")
    assert whole.found["seeds"] == [3]


def test_the_verb_runs_a_file_and_ends_with_1_where_a_run_failed(config, copied, say, monkeypatch):
    said = say("compare", config, "--out", copied)
    assert said.code == 0, said.err
    assert said.out.startswith("Did alignment help? ")
    assert "0 runs done, 6 done before, 0 failed" in said.out
    assert f"the page: {copied / 'compare.html'}" in said.out

    def failing(*_args, **_options):
        raise UserError("no more")

    monkeypatch.setattr(methods, "train", failing)
    said = say("compare", config, "--out", copied, "--set", "seeds=3")
    assert said.code == 1
    assert "failed: pair/semalign seed 2: no more" in said.out
    assert "Traceback" not in said.err


def test_folders_and_files_do_not_mix_and_take_their_own_options(config, copied, say):
    run = copied / "pair" / "sft" / "seed-0"
    assert "is no folder; give one comparison file alone" in say("compare", config, run).err
    assert "--jobs: folders hold finished runs" in say("compare", run, "--jobs", "2").err
    assert "--set: folders hold finished runs" in say("compare", run, "--set", "seeds=1").err
    assert "holds a comparison; give its YAML file" in say("compare", copied).err
    assert say("compare", run).code == 0
