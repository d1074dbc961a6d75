"""What a model can do: task scores and bits per byte through lm-eval, generated code in a sandbox, intervals over rows.

Imported lazily: the sandbox and the statistics need none of lm-eval's seconds of import.
"""

from typing import TYPE_CHECKING, Any

from semalign.evaluation.extra import needing_lm_eval

if TYPE_CHECKING:
    from semalign.evaluation.memory import Memory
    from semalign.evaluation.sampling import Draws
    from semalign.evaluation.score_tasks import evaluate
    from semalign.evaluation.scores import TaskScore
    from semalign.evaluation.statistics import (
        Interval,
        bits_difference,
        bits_interval,
        bootstrap_interval,
        mean_difference,
        mean_gap,
        mean_score,
        paired_difference,
    )
    from semalign.evaluation.written import write_texts

_HOME = {
    "Draws": "sampling",
    "Memory": "memory",
    "evaluate": "score_tasks",
    "write_texts": "written",
    "TaskScore": "scores",
    "Interval": "statistics",
    "bits_difference": "statistics",
    "bits_interval": "statistics",
    "bootstrap_interval": "statistics",
    "mean_difference": "statistics",
    "mean_gap": "statistics",
    "mean_score": "statistics",
    "paired_difference": "statistics",
}

__all__ = [
    "Draws",
    "Interval",
    "Memory",
    "TaskScore",
    "bits_difference",
    "bits_interval",
    "bootstrap_interval",
    "evaluate",
    "mean_difference",
    "mean_gap",
    "mean_score",
    "paired_difference",
    "write_texts",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(needing_lm_eval(f"{__name__}.{_HOME[name]}"), name)
