"""The lm-eval protocol: lm-eval's own task definitions, prompts, examples, extraction and metrics.

Only the rows come from elsewhere where they lie in a folder, and only the judge of generated code is ours.
Source: Gao et al. 2024, The Language Model Evaluation Harness, doi:10.5281/zenodo.12608602.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval import evaluator
from lm_eval.api.model import LM
from lm_eval.tasks._yaml_loader import load_yaml

from semalign.errors import UserError
from semalign.evaluation.benchmarks.code_eval import JUDGE
from semalign.evaluation.benchmarks.local import local_splits
from semalign.evaluation.benchmarks.options import Options
from semalign.evaluation.benchmarks.score import BenchmarkScore, sampling_text, scored
from semalign.evaluation.harness import QuietTask, Sample

HOMES = {"mmlu": "mmlu/default", "gsm8k": "gsm8k", "humaneval": "humaneval", "mbpp": "mbpp"}
METRICS = {
    "mmlu": ("acc", "none"),
    "gsm8k": ("exact_match", "strict-match"),
    "humaneval": ("pass@1", "create_test"),
    "mbpp": ("pass_at_1", "none"),
}
"""The metric and the extraction that a score is; others stand beside it."""
HOLDS_JUDGE = {"humaneval": "compute_", "mbpp": "pass_at_k"}
"""The name that the module of a code task gives its judge."""
FEWSHOT_SEED = 1234  # lm-eval's own, for the same examples as in published numbers
GENERATED = 256  # lm-eval's own number of tokens where a task names none


@dataclass(frozen=True)
class Upstream:
    """lm-eval's tasks of one benchmark (57 of MMLU), and the rows that are asked of each."""

    benchmark: str
    tasks: dict[str, QuietTask]
    chosen: dict[str, list[int]]
    n_all: int

    @property
    def n_row(self) -> int:
        return sum(map(len, self.chosen.values()))

    @property
    def few_shot(self) -> int:
        return next(iter(self.tasks.values())).config.num_fewshot or 0

    @property
    def n_request(self) -> int:
        return self.n_row * (4 if self.benchmark == "mmlu" else 1)

    @property
    def room(self) -> int:
        """Tokens that an answer may have; 0 where none is generated."""
        if self.benchmark == "mmlu":
            return 0
        config: Any = next(iter(self.tasks.values())).config
        return int(config.generation_kwargs.get("max_gen_toks", GENERATED))


def load_upstream(benchmark: str, options: Options) -> Upstream:
    """lm-eval's tasks of a benchmark; code tasks have to be loaded where a sandbox judges."""
    tasks = dict(_task(path, benchmark, options) for path in _paths(benchmark))
    ids = [(name, i) for name, task in tasks.items() for i in range(len(task.eval_docs))]
    order = list(range(len(ids)))
    random.Random(f"{options.seed}/{benchmark}/test").shuffle(order)
    kept = sorted(order[: options.limit])
    chosen: dict[str, list[int]] = {}
    for name, i in (ids[place] for place in kept):
        chosen.setdefault(name, []).append(i)
    return Upstream(benchmark, {name: tasks[name] for name in chosen}, chosen, len(ids))


def _paths(benchmark: str) -> list[Path]:
    home = Path(lm_eval.__file__).parent / "tasks" / HOMES[benchmark]
    return sorted(home.glob("mmlu_*.yaml")) if benchmark == "mmlu" else [home / f"{benchmark}.yaml"]


def _task(path: Path, benchmark: str, options: Options) -> tuple[str, QuietTask]:
    config = load_yaml(path, resolve_func=True)
    for key in ("tag", "group", "task_list"):
        config.pop(key, None)
    if benchmark in HOLDS_JUDGE:
        module = config["metric_list"][0]["metric"].__globals__
        module[HOLDS_JUDGE[benchmark]] = JUDGE
    if options.num_fewshot is not None:
        config["num_fewshot"] = options.num_fewshot
    if options.data is not None:
        subject = config.get("dataset_name") if benchmark == "mmlu" else None
        splits = partial(local_splits, benchmark, options.data / benchmark, subject)
        config["custom_dataset"] = lambda **_: splits()
    try:
        task = QuietTask(config=config)
    except UserError:
        raise
    except Exception as error:
        if options.data is not None:
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{benchmark}: not loaded from the hub ({reason}); check the network, or give --data") from None
    return config["task"], task


def score_upstream(lm: LM, upstream: Upstream, options: Options) -> dict[str, Any]:
    """lm-eval's evaluation of the chosen rows: its samples by task."""
    random.seed(FEWSHOT_SEED)
    for task in upstream.tasks.values():  # drawn row by row: a second evaluation would see other examples
        task.set_fewshot_seed(FEWSHOT_SEED)
    found: Any = evaluator.evaluate(
        lm,
        {"tasks": dict(upstream.tasks), "groups": {}},  # pyright: ignore[reportArgumentType]
        samples=upstream.chosen,
        bootstrap_iters=0,
        log_samples=True,
        confirm_run_unsafe_code=True,  # lm-eval's consent flag; the judge is the sandbox
        apply_chat_template=options.template == "chat",
        fewshot_as_multiturn=options.template == "chat",
    )
    return found["samples"]


def summarise_upstream(
    upstream: Upstream, samples: Mapping[str, Sequence[Sample]], options: Options, **rest: Any
) -> BenchmarkScore:
    """The score from lm-eval's samples, every prompt and generation in it."""
    name, extraction = METRICS[upstream.benchmark]
    rows = [sample for task in upstream.tasks for sample in samples[task] if sample["filter"] == extraction]
    ids = [f"{task}_{index}" for task in upstream.tasks for index in _order(samples[task], extraction)]
    outcomes = [float(row[name]) for row in rows]
    settings = {
        "template": options.template,
        "sampling": sampling_text(upstream.n_row, upstream.n_all, options.seed),
        "seed": options.seed,
        "few_shot_seed": FEWSHOT_SEED,
        "extraction": extraction,
        "generation": _generation(upstream),
        "data": str(options.data or "hub"),
        **rest.pop("settings", {}),
    }
    return scored(
        task=upstream.benchmark,
        protocol="lm-eval",
        metric=name,
        outcomes=outcomes,
        few_shot=upstream.few_shot,
        ids=ids,
        also=_also(upstream, samples),
        settings=settings,
        samples=[_kept(identifier, row, name) for identifier, row in zip(ids, rows, strict=True)],
        **rest,
    )


def _order(samples: Sequence[Sample], extraction: str) -> list[int]:
    return [sample["doc_id"] for sample in samples if sample["filter"] == extraction]


def _generation(upstream: Upstream) -> dict[str, Any]:
    config: Any = next(iter(upstream.tasks.values())).config
    return {} if upstream.benchmark == "mmlu" else dict(config.generation_kwargs)


def _also(upstream: Upstream, samples: Mapping[str, Sequence[Sample]]) -> dict[str, float]:
    """Accuracy by subject, or the benchmark's metric under its other extractions."""
    name, main = METRICS[upstream.benchmark]
    if upstream.benchmark == "mmlu":
        return {task: sum(s[name] for s in samples[task]) / len(samples[task]) for task in upstream.tasks}
    (task,) = upstream.tasks
    others = sorted({sample["filter"] for sample in samples[task]} - {main})
    by_filter = {other: [float(s[name]) for s in samples[task] if s["filter"] == other] for other in others}
    return {f"{name},{other}": sum(values) / len(values) for other, values in by_filter.items()}


def _kept(identifier: str, sample: Sample, metric: str) -> Sample:
    """What a reader needs of lm-eval's sample."""
    told = {
        "id": identifier,
        "prompt": sample["arguments"][0][0],
        "gold": sample["target"],
        "generation": sample["resps"][0][0],
        "read": sample["filtered_resps"][0],
        "outcome": float(sample[metric]),
    }
    if len(sample["arguments"]) > 1:
        nats = [answer[0] for answer in sample["filtered_resps"]]
        choices = [arguments[1] for arguments in sample["arguments"]]
        return {**told, "generation": choices[nats.index(max(nats))], "read": "", "choices": choices, "nats": nats}
    code = told["read"][0] if isinstance(told["read"], list) else told["read"]
    reason = JUDGE.reasons.get((code, sample["target"]))
    return told if reason is None else {**told, "read": code, "reason": reason}
