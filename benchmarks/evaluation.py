"""How fast an evaluation is beside plain lm-eval: `python benchmarks/evaluation.py MODEL`, one JSON line a case.

Both sides answer the same rows of lm-eval's own tasks, with the same module, tokens, batch size and judge; the plain
side is lm-eval's HFLM as it is, which already reads the four one-letter choices of a question once. Runs alternate; the
ratio is plain seconds over ours, the median of the neighbouring pairs; `cpu` is the same of the process's own seconds,
which other work on the machine hardly changes. Whether both say the same is in the line too.
MMLU's rows are the first of one subject: in the whole file a subject has 246, so few-shot examples are shared by more.
"""

import argparse
import contextlib
import copy
import io
import json
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM

from semalign import __version__
from semalign.evaluation.benchmarks import Options
from semalign.evaluation.benchmarks.code_eval import judged_in
from semalign.evaluation.benchmarks.upstream import load_upstream, score_upstream
from semalign.evaluation.harness import quiet
from semalign.evaluation.model import UpstreamModel
from semalign.evaluation.sandbox import Sandbox
from semalign.models import LanguageModel, evaluating, load

CASES: dict[str, tuple[str, int | None]] = {
    "mmlu": ("mmlu", 0),
    "mmlu 5-shot": ("mmlu", 5),
    "gsm8k": ("gsm8k", None),
    "humaneval": ("humaneval", None),
    "mbpp": ("mbpp", None),
}
"""The benchmark and its number of examples; None is the task's own."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder, a hub id or embedded:student")
    parser.add_argument("--data", type=Path, help="folder of benchmark files; the hub if not given")
    parser.add_argument("--cases", default=",".join(CASES), help="some of them, by commas")
    parser.add_argument("--limit", type=int, default=32, help="rows of MMLU, of one subject")
    parser.add_argument("--generated", type=int, default=16, help="rows of each generating task")
    parser.add_argument("--tokens", type=int, default=64, help="at most so many generated tokens a row")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load(options.model, dtype="float32", device="cpu")
    with quiet(), evaluating(model.module), Sandbox() as box, judged_in(box):
        for name in options.cases.split(","):
            print(json.dumps(case(name, model, options)), flush=True)
    return 0


def case(name: str, model: LanguageModel, options: argparse.Namespace) -> dict[str, Any]:
    """The seconds of both sides in alternating runs, and how far their answers agree."""
    benchmark, num_fewshot = CASES[name]
    limit = None if benchmark == "mmlu" else options.generated
    told = Options(tasks=(benchmark,), data=options.data, limit=limit, num_fewshot=num_fewshot)
    upstream = load_upstream(benchmark, told)
    name_of_task, task = next(iter(upstream.tasks.items()))
    if benchmark == "mmlu":
        upstream = replace(upstream, tasks={name_of_task: task}, chosen={name_of_task: list(range(options.limit))})
    else:
        task.set_config("generation_kwargs", {"max_gen_toks": options.tokens}, update=True)
    sides = {"semalign": ours(model, options.batch_size), "lm-eval": plain(model, options.batch_size)}
    wall: dict[str, list[float]] = {side: [] for side in sides}
    cpu: dict[str, list[float]] = {side: [] for side in sides}
    samples = {}
    for _ in range(options.rounds):
        for side, lm in sides.items():
            before = time.perf_counter(), time.process_time()
            with contextlib.redirect_stderr(io.StringIO()):  # lm-eval's bars
                samples[side] = score_upstream(lm, upstream, told)
            wall[side].append(time.perf_counter() - before[0])
            cpu[side].append(time.process_time() - before[1])
    return {
        "case": name,
        "wall": compared(wall),
        "cpu": compared(cpu),
        "rows": upstream.n_row,
        "few_shot": upstream.few_shot,
        "agreement": agreement(samples["semalign"], samples["lm-eval"]),
        "batch_size": options.batch_size,
        "max_gen_toks": None if benchmark == "mmlu" else options.tokens,
        "model": Path(options.model).name,
        "threads": options.threads,
        "load": os.getloadavg()[0],
        "versions": {"semalign": __version__, "torch": torch.__version__},
    }


def ours(model: LanguageModel, batch_size: int) -> LM:
    return UpstreamModel(model, template="plain", batch_size=batch_size)


def plain(model: LanguageModel, batch_size: int) -> LM:
    tokenizer = copy.deepcopy(model.tokenizer)
    hflm: Any = HFLM  # lm-eval's registration decorator hides its parameters from type checkers
    return hflm(pretrained=model.module, tokenizer=tokenizer, backend="causal", batch_size=batch_size)


def compared(seconds: dict[str, list[float]]) -> dict[str, Any]:
    ratios = [theirs / own for own, theirs in zip(seconds["semalign"], seconds["lm-eval"], strict=True)]
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    return {"ratio": statistics.median(ratios), "ratios": ratios, "seconds": medians}


def agreement(own: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """The share of rows with the same answer, and how far log-likelihoods differ at most, in nats."""
    pairs = [pair for task in own for pair in zip(own[task], theirs[task], strict=True)]
    responses = [(a["resps"][k][0], b["resps"][k][0]) for a, b in pairs for k in range(len(a["resps"]))]
    if isinstance(responses[0][0], str):
        return {"same_text": statistics.mean(a == b for a, b in responses)}
    return {
        "same_outcome": statistics.mean(a["acc"] == b["acc"] for a, b in pairs),
        "most_nats_apart": max(abs(float(a[0]) - float(b[0])) for a, b in responses),
    }


if __name__ == "__main__":
    sys.exit(main())
