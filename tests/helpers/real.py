"""Real tokenizers, where they are on the machine: SEMALIGN_MODELS or the user's cache."""

import os
from functools import cache
from pathlib import Path

import pytest
from transformers import AutoTokenizer

FOLDER = Path(os.environ.get("SEMALIGN_MODELS", Path.home() / ".cache/semalign-models"))
SMOLLM2, QWEN = "smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"


@cache
def real(name):
    if not (FOLDER / name).is_dir():
        pytest.skip(f"no tokenizer at {FOLDER / name}; SEMALIGN_MODELS names another folder")
    return AutoTokenizer.from_pretrained(FOLDER / name)
