"""Standard modules that programs often import, loaded once in the server: every program then finds them in memory."""

import importlib

MODULES = (
    *("array", "bisect", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal", "enum", "fractions"),
    *("functools", "hashlib", "heapq", "itertools", "math", "operator", "random", "re", "statistics", "string"),
    "typing",
)


def load() -> None:
    for name in MODULES:
        importlib.import_module(name)
