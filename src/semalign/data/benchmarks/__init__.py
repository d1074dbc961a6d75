"""The four benchmarks: rows of the LaTen protocol to train on, the benchmark's own test rows to score.

Each benchmark is one file with a function `load(folder, task) -> Loaded`; `folder` holds the benchmark's original
files, None means the hub. `split_ids.json` holds the ids of the LaTen protocol's extract, align and train rows and of
SEEKING's samples; `validation` is what is left of the training pool after all of them. Test rows that also stand in the
pool are left out.
"""

from pathlib import Path

from ...errors import UserError
from ..rows import Row
from ..source import Loaded
from . import gsm8k, humaneval, mbpp, mmlu

BENCHMARKS = {"gsm8k": gsm8k.load, "mmlu": mmlu.load, "mbpp": mbpp.load, "humaneval": humaneval.load}
TESTED_ROWS = {
    "gsm8k": gsm8k.tested_rows,
    "mmlu": mmlu.tested_rows,
    "mbpp": mbpp.tested_rows,
    "humaneval": humaneval.tested_rows,
}


def load_benchmark(name: str, folder: Path | None, task: str) -> Loaded:
    """All rows of a benchmark; `folder` is the folder above its own (`<folder>/gsm8k/train.jsonl`)."""
    return BENCHMARKS[name](_own(name, folder), task)


def tested_rows(name: str, folder: Path | None) -> list[Row]:
    """All test rows of a benchmark, those too that `load_benchmark` leaves out."""
    return TESTED_ROWS[name](_own(name, folder), name)


def _own(name: str, folder: Path | None) -> Path | None:
    if folder is not None and not (folder / name).is_dir():
        raise UserError(
            f"{folder / name}: no such folder; expected the files of benchmark '{name}' there (no 'folder' = the hub)"
        )
    return None if folder is None else folder / name
