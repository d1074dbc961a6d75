"""lm-eval's `code_eval` metric with the sandbox as its judge: no generated program runs in this process."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import evaluate

from semalign.evaluation.sampling import pass_at_k
from semalign.evaluation.sandbox import Sandbox
from semalign.evaluation.scorers import TIMEOUT


class CodeEval:
    """What `evaluate.load("code_eval")` is to lm-eval; `reasons` keeps the verdict on each program and tests."""

    def __init__(self) -> None:
        self.box: Sandbox | None = None
        self.reasons: dict[tuple[str, str], str] = {}

    def compute(
        self, references: Sequence[str], predictions: Sequence[Sequence[str]], k: Sequence[int] = (1,)
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """pass@k for each k, and no details."""
        rows = [[self._passes(code, tests) for code in row] for row, tests in zip(predictions, references, strict=True)]
        return {f"pass@{n}": sum(pass_at_k(len(row), sum(row), n) for row in rows) / len(rows) for n in k}, {}

    def _passes(self, code: str, tests: str) -> bool:
        assert self.box is not None, "generated code was to be judged without a sandbox"
        verdict = self.box.run(code, tests, timeout=TIMEOUT)
        self.reasons[code, tests] = verdict.reason
        return verdict.passed


JUDGE = CodeEval()
"""One for the process, as lm-eval keeps the modules that hold it."""


@contextlib.contextmanager
def judged_in(box: Sandbox) -> Iterator[CodeEval]:
    """lm-eval's code tasks, loaded and scored inside, are judged in this sandbox."""
    load: Any = evaluate.load
    evaluate.load = lambda path, *args, **options: JUDGE if path == "code_eval" else load(path, *args, **options)
    JUDGE.box, JUDGE.reasons = box, {}
    try:
        yield JUDGE
    finally:
        evaluate.load, JUDGE.box = load, None
