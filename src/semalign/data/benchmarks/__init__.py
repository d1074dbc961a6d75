"""The four benchmarks: rows of the LaTen protocol to train on, the benchmark's own test rows to score.

Each benchmark is one file with a function `load(folder, task) -> Loaded`; `folder` holds the benchmark's original
files, None means the hub. `split_ids.json` holds the ids of the LaTen protocol's extract, align and train rows and of
SEEKING's samples; `validation` is what is left of the training pool after all of them. Test rows that also stand in the
pool are left out.
"""

from pathlib import Path

from ...errors import UserError
from ..source import Loaded
from . import gsm8k, humaneval, mbpp, mmlu

BENCHMARKS = {"gsm8k": gsm8k.load, "mmlu": mmlu.load, "mbpp": mbpp.load, "humaneval": humaneval.load}


def load_benchmark(name: str, folder: Path | None, task: str) -> Loaded:
    """All rows of a benchmark; `folder` is the folder above its own (`<folder>/gsm8k/train.jsonl`)."""
    if folder is not None and not (folder / name).is_dir():
        raise UserError(
            f"{folder / name}: no such folder; expected the files of benchmark '{name}' there (no 'folder' = the hub)"
        )
    return BENCHMARKS[name](None if folder is None else folder / name, task)
