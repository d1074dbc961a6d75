"""What parts of like lengths save: `python benchmarks/padding.py`, one JSON object.

LoRA-SFT of the embedded student on rows of the quickstart, in batches of 16, with at most a tenth of padding over whole
batches.
"""

import argparse
import json
import sys
import tempfile
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from measure import alternated

from semalign.config import Run
from semalign.data import Example, load_task, padding_share
from semalign.losses.cross_entropy import CrossEntropy
from semalign.methods.step import Stage, Step
from semalign.models import LanguageModel, load, lora
from semalign.results import encode_rows
from semalign.training import TrainingOptions, train
from semalign.training.loop import batch_plan
from semalign.training.micro import micro_batches

WHOLE = TrainingOptions(epochs=1, batch_size=16, diagnose_every=10**6, checkpoint_every=10**6)
PARTS = WHOLE.model_copy(update={"max_padding": 0.1})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=150)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = Run.read(str(files("semalign") / "quickstart.yaml"))
    student = load(config.model_path(config.student))
    tasks = [load_task(spec, seed=0, root=config.root) for spec in config.tasks]
    rows = encode_rows(config, tasks, student).split("train")
    rows = rows[:: len(rows) // options.rows]  # of every task
    lora(student, range(student.n_layer), seed=0)
    time = alternated(*(partial(epoch, student, rows, how) for how in (PARTS, WHOLE)), options.rounds)
    print(json.dumps({"epoch": time, "padding": {"parts": padding(rows, PARTS), "whole": padding(rows, WHOLE)}}))
    return 0


def padding(rows: list[Example], how: TrainingOptions) -> float:
    steps = batch_plan(len(rows), how, 0)
    return padding_share(batch for step in steps for batch in micro_batches([rows[i] for i in step], how, 0))


def epoch(student: LanguageModel, rows: list[Example], how: TrainingOptions) -> Any:
    stage = Stage(layers=tuple(range(student.n_layer)), pairs=())
    step = Step(student, outputs=[CrossEntropy()], stages=[stage])
    step.gradient_norms = lambda batch, units: {}  # pyright: ignore[reportAttributeAccessIssue]  for this object alone
    with tempfile.TemporaryDirectory() as folder:
        return train(step, rows, how, pad_id=0, seed=0, folder=Path(folder))


if __name__ == "__main__":
    sys.exit(main())
