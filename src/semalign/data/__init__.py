"""Tasks, their rows, and rows as tokens with supervision on the answer only.

What needs torch or transformers is imported when first used, so that a configuration can be checked without them.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .rows import Row
from .spec import SPLITS, TaskSpec
from .task import Task, load_task

if TYPE_CHECKING:
    from .batch import Batch, batches, collate, padding_share
    from .paired import answer_coverage, encode_pair, prompt_coverage
    from .templates import Template, end_token, padding_token, prompt_text, prompt_tokens
    from .tokens import Example, counts, encode

__all__ = [
    "SPLITS",
    "Batch",
    "Example",
    "Row",
    "Task",
    "TaskSpec",
    "Template",
    "answer_coverage",
    "batches",
    "collate",
    "counts",
    "encode",
    "encode_pair",
    "end_token",
    "load_task",
    "padding_share",
    "padding_token",
    "prompt_coverage",
    "prompt_text",
    "prompt_tokens",
]

_LAZY = {
    **dict.fromkeys(("Batch", "batches", "collate", "padding_share"), "batch"),
    **dict.fromkeys(("Template", "end_token", "padding_token", "prompt_text", "prompt_tokens"), "templates"),
    **dict.fromkeys(("Example", "counts", "encode"), "tokens"),
    **dict.fromkeys(("answer_coverage", "encode_pair", "prompt_coverage"), "paired"),
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
