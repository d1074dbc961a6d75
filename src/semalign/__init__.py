"""semalign moves knowledge from a large language model into a smaller one by aligning their layer activations."""

import importlib
import os
from typing import Any

# The hub's library counts its users where this is not set before it is imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")  # datasets: the same

__version__ = "0.1.0"

# The facade: each name is imported on first use, so that `import semalign` and `semalign --help` stay quick.
_WHERE = {
    "load": "semalign.models",
    "listen": "semalign.models",
    "shrink": "semalign.models",
    "Run": "semalign.config",
    "run": "semalign.pipeline",
    "evaluate": "semalign.evaluation",
    "Attribution": "semalign.attribution",
    "Pairing": "semalign.pairing",
    "Basis": "semalign.basis",
    "Loss": "semalign.losses",
    "Method": "semalign.methods",
    "AlignmentTrainer": "semalign.trainer",
}
__all__ = [
    "AlignmentTrainer",
    "Attribution",
    "Basis",
    "Loss",
    "Method",
    "Pairing",
    "Run",
    "__version__",
    "evaluate",
    "listen",
    "load",
    "run",
    "shrink",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'semalign' has no attribute '{name}'")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
