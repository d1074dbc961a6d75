"""The same model on the same rows says to lm-eval's HFLM what it says here, and scores the same."""

import copy
from typing import Any

import pytest
from lm_eval.models.huggingface import HFLM
from made_files import write_files
from real import FOLDER, SMOLLM2

from semalign.evaluation import likelihood
from semalign.evaluation.benchmarks import Options, evaluate_benchmarks, upstream
from semalign.evaluation.benchmarks.code_eval import judged_in
from semalign.evaluation.benchmarks.upstream import load_upstream, score_upstream, summarise_upstream
from semalign.evaluation.harness import quiet
from semalign.evaluation.sandbox import Sandbox
from semalign.models import evaluating, load
from semalign.progress import Reporter

needs_sandbox = pytest.mark.skipif(Sandbox.available() is not None, reason="no sandbox for generated code")


def plain_score(model, options):
    """The score of lm-eval's own model class; generated code is judged in the sandbox there too."""
    (task,) = options.tasks
    hflm: Any = HFLM
    with quiet(), evaluating(model.module):
        lm = hflm(
            pretrained=model.module,
            tokenizer=copy.deepcopy(model.tokenizer),
            backend="causal",
            batch_size=options.batch_size,
        )
        loaded = load_upstream(task, options)
        return summarise_upstream(loaded, score_upstream(lm, loaded, options), options, seconds=0.0)


def assert_agree(own, plain, abs_nats):
    assert own.ids == plain.ids
    for a, b in zip(own.samples, plain.samples, strict=True):
        assert a["prompt"] == b["prompt"]
        assert a.get("nats", []) == pytest.approx(b.get("nats", []), abs=abs_nats)
        assert a["generation"] == b["generation"]
        assert a["read"] == b["read"]
    assert own.outcomes == plain.outcomes
    assert own.also == plain.also
    assert own.score == plain.score


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("made"))


@pytest.fixture
def everything_shared(monkeypatch):
    """The examples of made questions are short, and would not be read apart."""
    monkeypatch.setattr(likelihood, "APART", 0)


@pytest.mark.slow
@pytest.mark.usefixtures("everything_shared")
@pytest.mark.parametrize(("task", "shots", "limit"), [("mmlu", 0, 24), ("mmlu", 2, 40), ("gsm8k", 1, 6)])
def test_answers_and_scores_are_those_of_plain_lm_eval(task, shots, limit, made, tmp_path):
    model = load("embedded:student", dtype="float32", device="cpu")
    options = Options(tasks=(task,), data=made, limit=limit, num_fewshot=shots, batch_size=4)
    own = evaluate_benchmarks(model, options, tmp_path / "out", Reporter(quiet=True))[task]
    assert_agree(own, plain_score(model, options), abs_nats=1e-4)
    assert len({sample["generation"] for sample in own.samples}) > 1, "the same to every prompt shows nothing"


@pytest.fixture
def short_answers(monkeypatch):
    """lm-eval's HumanEval lets a model write 1,024 tokens: minutes on a CPU."""

    def load_short(*arguments, **options):
        config = load_yaml(*arguments, **options)
        if "generation_kwargs" in config:
            config["generation_kwargs"] = {**config["generation_kwargs"], "max_gen_toks": 48}
        return config

    load_yaml = upstream.load_yaml
    monkeypatch.setattr(upstream, "load_yaml", load_short)


@pytest.mark.real
@pytest.mark.slow
@needs_sandbox
@pytest.mark.usefixtures("short_answers")
@pytest.mark.parametrize(("task", "limit"), [("mmlu", 8), ("gsm8k", 2), ("humaneval", 2), ("mbpp", 2)])
def test_a_real_model_answers_and_scores_as_in_plain_lm_eval(task, limit, data, tmp_path):
    if not (FOLDER / SMOLLM2).is_dir():
        pytest.skip(f"no model at {FOLDER / SMOLLM2}; SEMALIGN_MODELS names another folder")
    model = load(str(FOLDER / SMOLLM2), dtype="float32", device="cpu")
    options = Options(tasks=(task,), data=data, limit=limit, batch_size=2)
    with Sandbox() as box, judged_in(box):
        plain = plain_score(model, options)
    own = evaluate_benchmarks(model, options, tmp_path / "out", Reporter(quiet=True))[task]
    # Sums over 576 dimensions and 49,152 tokens in float32, in another order.
    assert_agree(own, plain, abs_nats=1e-3)
