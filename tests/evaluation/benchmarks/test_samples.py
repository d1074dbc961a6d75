"""Several answers to each prompt of MBPP and HumanEval: pass@k against the plain definition, answers that resume."""

from itertools import combinations
from statistics import mean

import pytest
from knowing import Knowing
from made_files import write_code

from semalign.evaluation import bootstrap_interval
from semalign.evaluation.benchmarks import BenchmarkScore, Options, evaluate_benchmarks, score_table
from semalign.evaluation.memory import Memory
from semalign.evaluation.sandbox import Sandbox
from semalign.models import load
from semalign.progress import Reporter

pytestmark = pytest.mark.skipif(Sandbox.available() is not None, reason="no sandbox for generated code")
N = 5
TASKS = ("mbpp", "humaneval")


class Sometimes(Knowing):
    """Knows the answer to its n-th prompt in n mod 4 of N samples, and asks for a temperature."""

    def generate_until(self, requests, disable_tqdm=True):
        prompts = list(dict.fromkeys(request.args[0] for request in requests))
        seen = dict.fromkeys(prompts, 0)
        texts = []
        for request in requests:
            self.asked += 1
            assert request.args[1]["do_sample"]
            assert request.args[1]["temperature"] == 0.8
            prompt = request.args[0]
            seen[prompt] += 1
            texts.append(self._text(request) if seen[prompt] <= prompts.index(prompt) % 4 else "pass")
        return texts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_code(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def student():
    return load("embedded:student", dtype="float32", device="cpu")


def asked(made, **options):
    told = {"tasks": TASKS, "samples": N, "temperature": 0.8, "k": (1, 2, N), "limit": 6, **options}
    return Options(protocol="paper", data=made, **told)


def chance(passed, k):
    """Of all ways to take k of N samples, the share that holds one of the first `passed`."""
    return mean(any(i < passed for i in taken) for taken in combinations(range(N), k))


def test_pass_at_k_is_the_share_of_all_ways_to_take_k_samples_with_an_interval_over_rows(made, student, tmp_path):
    model = Sometimes(student.tokenizer, data=made, tasks=TASKS)
    found = evaluate_benchmarks(model, asked(made), tmp_path / "out", Reporter(quiet=True))
    assert list(found) == list(TASKS)
    for task, score in found.items():
        passed = [row % 4 for row in range(6)]
        assert (score.metric, list(score.pass_at)) == ("pass@1", ["2", str(N)])
        assert score.outcomes == pytest.approx([chance(n, 1) for n in passed])
        for k in (2, N):
            rows = [chance(n, k) for n in passed]
            at = score.pass_at[str(k)]
            assert at["outcomes"] == pytest.approx(rows)
            interval = bootstrap_interval(at["outcomes"], task=task)
            assert (at["score"], at["low"], at["high"]) == interval
            assert at["low"] < at["score"] < at["high"]
        assert BenchmarkScore.load(tmp_path / "out", task) == score
        assert score.settings["draws"] == {"count": N, "temperature": 0.8, "seed": 0}
    table = score_table(found.values())
    lines = [(task, f"pass@{k} (paper)") for task in TASKS for k in (1, 2, N)]
    assert list(zip(table.columns[0].cells, table.columns[1].cells, strict=True)) == lines


def test_without_samples_mbpp_is_greedy_and_humaneval_is_sampled_twenty_times():
    plain = Options(tasks=TASKS, protocol="paper")
    assert (plain.draws("mbpp").count, plain.draws("mbpp").temperature, plain.ks("mbpp")) == (1, 0.0, [])
    assert (plain.draws("humaneval").count, plain.draws("humaneval").temperature) == (20, 0.1)
    assert plain.ks("humaneval") == [5, 10, 20]
    told = Options(tasks=(*TASKS, "gsm8k"), protocol="paper", samples=20, temperature=0.8, k=(1, 10))
    assert told.draws("mbpp") == told.draws("humaneval")
    assert (told.draws("mbpp").temperature, told.ks("mbpp")) == (0.8, [10])
    assert (told.draws("gsm8k").count, told.ks("gsm8k")) == (1, [])


def test_samples_differ_and_a_stopped_evaluation_asks_for_the_missing_ones_alone(made, student, tmp_path, monkeypatch):
    options = asked(made, tasks=("mbpp",), samples=4, k=(1, 4), limit=2, batch_size=3)
    kept, keep = [], Memory.keep

    def stopping(self, request, answer):
        if len(kept) == 6:
            raise KeyboardInterrupt
        kept.append(request)
        keep(self, request, answer)

    def evaluated(out):
        return evaluate_benchmarks(student, options, tmp_path / out, Reporter(quiet=True))["mbpp"]

    monkeypatch.setattr(Memory, "keep", stopping)
    with pytest.raises(KeyboardInterrupt):
        evaluated("stopped")
    monkeypatch.setattr(Memory, "keep", lambda self, *pair: kept.append(pair[0]) or keep(self, *pair))
    resumed = evaluated("stopped")
    assert len(kept) == len(set(kept)) == 2 + 2 * 4, "two gold answers' bits and four samples of two prompts"
    whole = evaluated("whole")
    for a, b in zip(resumed.samples, whole.samples, strict=True):
        assert a["generations"] == b["generations"]
        assert len(set(a["generations"])) > 1, "four samples that are all the same"
    assert resumed.pass_at == whole.pass_at
