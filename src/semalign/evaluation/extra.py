"""Modules that need the extra `eval`, imported when first used."""

import importlib
from types import ModuleType

from semalign.errors import UserError

NEEDED = ("lm_eval", "datasets")  # the second comes with the first


def needing_lm_eval(module: str) -> ModuleType:
    """The module; UserError with the line of pip where lm-eval is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        raise UserError(f"scores need the package {error.name}: pip install 'semalign[eval]'") from None
