"""A model that knows everything scores 1 and one that knows nothing 0, through the whole path of both protocols."""

import os

import pytest
from knowing import Knowing

from semalign.errors import UserError
from semalign.evaluation.benchmarks import Options, evaluate_benchmarks
from semalign.evaluation.sandbox import Sandbox
from semalign.progress import Reporter

TASKS = ("mmlu", "gsm8k", "humaneval", "mbpp")
all_rows = pytest.mark.skipif(
    not os.environ.get("SEMALIGN_FULL"),
    reason="every row of every benchmark: set SEMALIGN_FULL=1 (a sample of each runs above)",
)
needs_sandbox = pytest.mark.skipif(Sandbox.available() is not None, reason="no sandbox for generated code")


def scores(folder, tokenizer, data, *, wrong=False, tasks=TASKS, **options):
    told = Options(tasks=tasks, data=data, **options)
    own = tasks if told.protocol == "paper" else ()
    model = Knowing(tokenizer, wrong=wrong, data=data, tasks=own)
    return evaluate_benchmarks(model, told, folder, Reporter(quiet=True)), model


@pytest.mark.real
@needs_sandbox
@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("protocol", ["lm-eval", "paper"])
def test_a_sample_of_all_four_is_scored_right(protocol, wrong, tmp_path, tokenizer, data):
    extra = {"samples": 2} if protocol == "paper" else {}
    found, _ = scores(tmp_path / "out", tokenizer, data, wrong=wrong, protocol=protocol, limit=4, **extra)
    assert {task: score.score for task, score in found.items()} == dict.fromkeys(TASKS, 0.0 if wrong else 1.0)
    for task, score in found.items():
        assert score.rows == len(score.samples) == len(set(score.ids)) == 4, task
        assert score.settings["sampling"].startswith("4 of "), task
        assert all(sample["prompt"] for sample in score.samples), task


@pytest.mark.real
@pytest.mark.slow
@all_rows
@needs_sandbox
@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("protocol", ["lm-eval", "paper"])
def test_all_rows_of_all_four_are_scored_right(protocol, wrong, tmp_path, tokenizer, data):
    extra = {"samples": 2} if protocol == "paper" else {}
    found, _ = scores(tmp_path / "out", tokenizer, data, wrong=wrong, protocol=protocol, **extra)
    assert {task: score.score for task, score in found.items()} == dict.fromkeys(TASKS, 0.0 if wrong else 1.0)
    # The paper's protocol leaves out the test rows that also stand in the training pool.
    left_out = {"mmlu": 13, "mbpp": 1} if protocol == "paper" else {}
    sizes = {"mmlu": 14_042, "gsm8k": 1319, "humaneval": 164, "mbpp": 500}
    assert {task: score.rows for task, score in found.items()} == {t: n - left_out.get(t, 0) for t, n in sizes.items()}


@pytest.mark.real
def test_a_finished_benchmark_is_not_asked_again_and_another_evaluation_is_refused(tmp_path, tokenizer, data):
    first, model = scores(tmp_path / "out", tokenizer, data, tasks=("gsm8k",), limit=3)
    assert model.asked == 3
    again, model = scores(tmp_path / "out", tokenizer, data, tasks=("gsm8k",), limit=3)
    assert model.asked == 0
    assert again == first
    with pytest.raises(UserError, match="holds an evaluation with seed 0, not 1"):
        scores(tmp_path / "out", tokenizer, data, tasks=("gsm8k",), limit=3, seed=1)


def test_options_without_effect_are_errors(tmp_path):
    for options, complaint in (
        ({"tasks": ("mmul",)}, "Did you mean 'mmlu'"),
        ({"tasks": ("humaneval",), "num_fewshot": 5}, "0 examples to show"),
        ({"tasks": ("humaneval",), "samples": 5}, "--protocol paper"),
        ({"tasks": ("mbpp",), "temperature": 0.8}, "--protocol paper"),
        ({"tasks": ("mmlu",), "samples": 5, "protocol": "paper"}, "humaneval and mbpp alone"),
        ({"tasks": ("mbpp",), "temperature": 0.8, "protocol": "paper"}, "say with --samples"),
        ({"tasks": ("mbpp",), "samples": 5, "temperature": 0.0, "protocol": "paper"}, "a number above 0"),
        ({"tasks": ("mbpp",), "samples": 5, "k": (1, 10), "protocol": "paper"}, "--k 1,10: .* to --samples 5"),
        ({"tasks": ("mbpp",), "samples": 5, "k": (0,), "protocol": "paper"}, "--k 0: .* from 1"),
        ({"tasks": ("mbpp",), "samples": 5, "k": (), "protocol": "paper"}, "expected whole numbers"),
        ({"tasks": ("mmlu",), "num_fewshot": 5, "protocol": "paper"}, "shows no examples"),
        ({"tasks": ("mmlu",), "limit": 0}, "from 1"),
        ({"tasks": ("mmlu",), "data": tmp_path}, "no folder 'mmlu'"),
    ):
        with pytest.raises(UserError, match=complaint):
            Options(**options).check()
