"""The four benchmarks MMLU, GSM8K, HumanEval and MBPP, by lm-eval's tasks or by the paper's protocol.

What needs lm-eval is imported when first used, so that options can be checked without its seconds of import.
"""

from typing import TYPE_CHECKING, Any

from semalign.evaluation.benchmarks.config import BenchmarksConfig, check_options
from semalign.evaluation.benchmarks.options import Options
from semalign.evaluation.extra import needing_lm_eval

if TYPE_CHECKING:
    from semalign.evaluation.benchmarks.room import check_room
    from semalign.evaluation.benchmarks.run import evaluate_benchmarks, evaluate_model, need_sandbox
    from semalign.evaluation.benchmarks.score import BenchmarkScore
    from semalign.evaluation.benchmarks.table import score_table

__all__ = [
    "BenchmarkScore",
    "BenchmarksConfig",
    "Options",
    "check_options",
    "check_room",
    "evaluate_benchmarks",
    "evaluate_model",
    "need_sandbox",
    "score_table",
]

_HOME = {
    **dict.fromkeys(("evaluate_benchmarks", "evaluate_model", "need_sandbox"), "run"),
    "check_room": "room",
    "BenchmarkScore": "score",
    "score_table": "table",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(needing_lm_eval(f"{__name__}.{_HOME[name]}"), name)
