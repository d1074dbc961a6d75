"""Benchmarks from start to end: checks, model, rows, answers, scores, one file each."""

import contextlib
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import LM

from semalign import ranks
from semalign.errors import UserError
from semalign.evaluation.benchmarks.code_eval import judged_in
from semalign.evaluation.benchmarks.folder import data_keys, model_key, open_folder
from semalign.evaluation.benchmarks.options import CODE, Options
from semalign.evaluation.benchmarks.paper import load_paper, score_paper, summarise_paper
from semalign.evaluation.benchmarks.score import BenchmarkScore
from semalign.evaluation.benchmarks.upstream import Upstream, load_upstream, score_upstream, summarise_upstream
from semalign.evaluation.harness import quiet
from semalign.evaluation.memory import Memory
from semalign.evaluation.model import HarnessModel, UpstreamModel
from semalign.evaluation.sandbox import Sandbox, SandboxUnavailable
from semalign.lock import locked
from semalign.models import LanguageModel, evaluating, load
from semalign.progress import Reporter

EVERY = 10.0  # seconds between lines of progress in a log

Advance = Callable[[int, int], None]


def evaluate_model(name: str, options: Options, out: Path, reporter: Reporter) -> dict[str, BenchmarkScore]:
    """Load a model (bf16 on a GPU, fp32 on a CPU) and evaluate it into a folder."""
    options.check()
    need_sandbox(options)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with reporter.stage(f"loading {name}"):
        model = load(name, dtype="bfloat16" if device == "cuda" else "float32", device=device)
    return evaluate_benchmarks(model, options, out, reporter, alone=True)


def evaluate_benchmarks(
    model: LanguageModel | LM, options: Options, out: Path, reporter: Reporter, *, alone: bool = False
) -> dict[str, BenchmarkScore]:
    """The score on each benchmark, in a file each; those that the folder already holds are not asked again.

    `alone`: it is no run's folder, and so is held for this process here. Any lm-eval model that has a `tokenizer` does
    as `model` too.
    """
    options.check()
    own = isinstance(model, LanguageModel)
    settings = {"model": model.name if own else type(model).__name__}
    identity = {"model": model_key(model) if own else settings["model"], **options.identity()}
    open_folder(out, {**identity, "lm-eval": version("lm_eval")}, data_keys(options.tasks, options.data))
    scores = {}
    with contextlib.ExitStack() as stack:
        if alone:
            stack.enter_context(locked(out))
        if any(task in CODE for task in options.tasks):
            stack.enter_context(_judging())
        stack.enter_context(quiet())
        if own:
            stack.enter_context(evaluating(model.module))
        for task in options.tasks:
            score = ranks.from_first(BenchmarkScore.load(out, task))
            if score is None:
                memory = Memory(out / f"{task}.answers.jsonl" if own and ranks.is_first() else None)
                with reporter.stage(f"evaluating {task}") as advance:
                    pace = Pace(task, advance, reporter)
                    ask = _paper if options.protocol == "paper" else _upstream
                    score = ask(model, task, options, settings=settings, memory=memory, pace=pace)
                score.save(out)
                memory.forget()
            scores[task] = score
    return scores


def _upstream(
    model: Any, task: str, options: Options, *, settings: dict[str, Any], memory: Memory, pace: "Pace"
) -> BenchmarkScore:
    upstream = load_upstream(task, options)
    lm = model
    if isinstance(model, LanguageModel):
        lm = UpstreamModel(model, template=options.template, batch_size=options.batch_size)  # pyright: ignore
        lm.memory = memory
        _check_room(upstream, lm)
        lm.begin((), pace.of(upstream.n_row), upstream.n_request)
    start = time.perf_counter()
    samples = score_upstream(lm, upstream, options)
    told = {**settings, "batch_size": options.batch_size, "truncated_requests": getattr(lm, "truncated", 0)}
    return summarise_upstream(upstream, samples, options, settings=told, seconds=time.perf_counter() - start)


def _paper(
    model: Any, task: str, options: Options, *, settings: dict[str, Any], memory: Memory, pace: "Pace"
) -> BenchmarkScore:
    loaded, n_all = load_paper(task, options)
    advance = pace.of(len(loaded.splits["test"]))
    start = time.perf_counter()
    found = score_paper(
        model, loaded, n_all, options, memory=memory, progress=lambda _, done, total: advance(done, total)
    )
    return summarise_paper(found, time.perf_counter() - start, settings)


class Pace:
    """Tells rows done, rows a second and the time left: on the bar where there is one, else in lines of a log."""

    def __init__(self, task: str, advance: Advance, reporter: Reporter) -> None:
        self._task, self._advance, self._reporter = task, advance, reporter
        self._start = self._told = time.perf_counter()
        self._first: float | None = None

    def of(self, n_row: int) -> Advance:
        """A progress function that takes requests done and in all, for so many rows."""

        def advance(done: int, total: int) -> None:
            rows = done * n_row / max(total, 1)
            self._advance(int(rows), n_row)
            if self._first is None:  # what a stopped evaluation left is no measure of speed
                self._first, self._start = rows, time.perf_counter()
            now = time.perf_counter()
            if not self._reporter.bars and now - self._told >= EVERY:
                self._told = now
                self._reporter.say(self.line(rows, n_row, now - self._start))

        return advance

    def line(self, rows: float, n_row: int, seconds: float) -> str:
        rate = (rows - (self._first or 0)) / max(seconds, 1e-9)
        left = f", {(n_row - rows) / rate:,.0f} s left" if rate > 0 else ""
        return f"  {self._task}: {int(rows)} of {n_row} rows, {rate:.2f} rows/s{left}"


def need_sandbox(options: Options) -> None:
    """Raises UserError, with the line that installs one, where generated code is to be judged without a sandbox."""
    reason = Sandbox.available() if any(task in CODE for task in options.tasks) else None
    if reason:
        raise UserError(reason)


@contextlib.contextmanager
def _judging() -> Iterator[None]:
    """Generated code is judged in a sandbox; where there is none, that is one clear line."""
    with contextlib.ExitStack() as stack:
        try:
            box = stack.enter_context(Sandbox())
        except SandboxUnavailable as error:
            raise UserError(str(error)) from None
        stack.enter_context(judged_in(box))
        yield


def _check_room(upstream: Upstream, lm: HarnessModel) -> None:
    if upstream.room >= lm.max_length:
        raise UserError(
            f"{upstream.benchmark}: lm-eval's task generates up to {upstream.room} tokens, which leaves no room for a "
            f"prompt in the model's context of {lm.max_length}; use --protocol paper"
        )
