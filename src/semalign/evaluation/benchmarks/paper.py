"""The paper's protocol: the rows and prompts of training, no examples, several answers to each HumanEval prompt.

MMLU and GSM8K zero-shot in Open-Instruct's wording, HumanEval as pass@k from samples at temperature 0.1, MBPP's test
ids 11-510 with no test in the prompt, greedy or, where samples are asked for, as pass@k too.
Source: Gu et al. 2025, arXiv:2510.24208; Wang et al. 2023, arXiv:2306.04751.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from lm_eval.api.model import LM

from semalign.data import Task, TaskSpec, load_task
from semalign.data.sampling import sample
from semalign.evaluation.benchmarks.options import Options
from semalign.evaluation.benchmarks.score import BenchmarkScore, PassAt, sampling_text, scored, uncertain
from semalign.evaluation.memory import Memory
from semalign.evaluation.sampling import pass_at_k
from semalign.evaluation.score_tasks import Progress, evaluate
from semalign.models import LanguageModel


@cache
def _task(name: str, data: Path | None) -> Task:
    folder = None if data is None else str(data.resolve())
    return load_task(TaskSpec.model_validate({"name": name, "benchmark": name, "folder": folder}), seed=0, root=Path())


def load_paper(benchmark: str, options: Options) -> tuple[Task, int]:
    """The task with the rows that are asked, and how many there are."""
    task = _task(benchmark, options.data)
    rows = task.splits["test"]
    count = min(len(rows), options.limit or len(rows))
    chosen = sample(rows, count, seed=options.seed, task=benchmark, split="test")
    return replace(task, splits={"test": chosen}), len(rows)


def score_paper(
    model: LanguageModel | LM, task: Task, n_all: int, options: Options, *, memory: Memory, progress: Progress | None
) -> dict[str, Any]:
    """What a BenchmarkScore says of the task, all but who was asked and how long it took."""
    draws = options.draws(task.name)
    result = evaluate(
        model,
        [task],
        template=options.template,  # pyright: ignore[reportArgumentType]
        batch_size=options.batch_size,
        draws=draws,
        memory=memory,
        progress=progress,
    )[task.name]
    protocol = {name: value for name, value in result.protocol.items() if name not in ("rows", "few_shot", "sampling")}
    settings = {
        **protocol,
        "sampling": sampling_text(len(result.ids), n_all, options.seed),
        "seed": options.seed,
        "data": str(options.data or "hub"),
    }
    return {
        "task": task.name,
        "protocol": "paper",
        "metric": "pass@1" if task.score == "passes_tests" else result.metric,
        "outcomes": result.outcomes,
        "few_shot": 0,
        "ids": result.ids,
        "also": {"bits_per_byte": result.bits_per_byte},
        "pass_at": {str(k): _pass_at(k, result.samples, task.name) for k in options.ks(task.name)},
        "settings": settings,
        "samples": result.samples,
    }


def summarise_paper(found: Mapping[str, Any], seconds: float, settings: Mapping[str, Any]) -> BenchmarkScore:
    """The score, with who was asked among its settings."""
    return scored(**{**found, "settings": {**settings, **found["settings"]}}, seconds=seconds)


def _pass_at(k: int, samples: list[dict[str, Any]], task: str) -> PassAt:
    """Each row's unbiased pass@k from all its samples, and their mean with its uncertainty."""
    passed = [sample["outcomes"] for sample in samples]
    return uncertain([pass_at_k(len(row), round(sum(row)), k) for row in passed], task)
