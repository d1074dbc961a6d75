"""How much time the kept prefix saves in a frontier schedule: `python benchmarks/frontier.py`, one JSON line a case.

Student and teacher are Llama-shaped with random weights (time does not depend on what they know). Both sides train the
same steps; the naive side computes the blocks below the frontier again at every step. The ratio is of whole steps, with
the teacher beside both sides or, filled before the clock starts, from the cache on both.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from measure import alternated
from random_model import random_llama

from semalign import __version__
from semalign.data import Example, batches
from semalign.losses.geometry import Geometry
from semalign.losses.kl import ForwardKL
from semalign.methods import MethodContext, Plan
from semalign.methods.cache_options import CacheOptions
from semalign.methods.semalign import SemAlign
from semalign.methods.teacher_cache import TeacherCache
from semalign.models import SharedTokens, lora, unload
from semalign.pairing.depth import Depth
from semalign.schedules.frontier import Frontier
from semalign.training import TrainingOptions, train

CASES = {"layer loss alone": (), "with KL at the output": (ForwardKL(),)}
N_ROW, N_POS, N_PROMPT = 24, 96, 32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=12, help="student layers")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12, help="of 24 rows, in batches of 8")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for teacher, (name, outputs) in product(("cached", "online"), CASES.items()):
        found = {
            "case": name,
            "teacher": teacher,
            **measured(options, outputs, teacher == "cached"),
            **vars(options),
            "versions": {"semalign": __version__, "torch": torch.__version__},
        }
        print(json.dumps(found), flush=True)
    return 0


def measured(options: argparse.Namespace, outputs: tuple, teacher_cached: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        kept, naive = (training(options, outputs, keep, teacher_cached, Path(folder)) for keep in (True, False))
        return alternated(kept, naive, options.rounds)


def training(
    options: argparse.Namespace, outputs: tuple, keep: bool, teacher_cached: bool, folder: Path
) -> Callable[[], float]:
    """One training from the start; the models' making is not part of it."""
    student, teacher = (
        random_llama(options.layers, options.width, n_token=1024, n_pos=N_POS, seed=seed) for seed in (0, 1)
    )
    context = MethodContext(
        teacher=teacher,
        student=student,
        tokens=SharedTokens.of_one(torch.arange(1024)),
        extract=list(batches(rows()[:4], 4, 0)),
        calibration=(),
        seed=0,
    )
    method = SemAlign(
        pairing=Depth(), site="block_delta", loss=Geometry(), outputs=outputs, schedule=Frontier(cache=keep)
    )
    plan, signals = method.plan(context), None
    if teacher_cached:
        signals = TeacherCache.of(method.step(context, plan), CacheOptions(), folder / f"kept-{keep}")
        signals.fill(rows())
    return partial(trained, context, method, plan, signals, options.epochs)


def trained(context: MethodContext, method: SemAlign, plan: Plan, signals: TeacherCache | None, n_epoch: int) -> float:
    """The last loss."""
    adapter = lora(context.student, plan.layers, seed=0)
    step = method.step(context, plan)
    if signals is not None:
        step.signals = signals
    training = TrainingOptions(epochs=n_epoch, batch_size=8, diagnose_every=10**6, checkpoint_every=10**6)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return train(step, rows(), training, pad_id=0, seed=0, folder=Path(folder)).entries[-1]["loss"]
    finally:
        unload(adapter)


def rows() -> list[Example]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 1024, (N_ROW, N_POS), generator=generator).tolist()
    return [Example(f"row{i}", "random", row, N_PROMPT, 4 * (N_POS - N_PROMPT), False) for i, row in enumerate(ids)]


if __name__ == "__main__":
    sys.exit(main())
