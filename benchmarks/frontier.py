"""How much time the kept prefix saves in a frontier schedule: `python benchmarks/frontier.py`, one JSON line a case.

Student and teacher are Llama-shaped with random weights (time does not depend on what they know). Both sides train the
same steps; the naive side computes the blocks below the frontier again at every step. Runs alternate, and the medians
of the ratios of neighbouring runs are quoted. The teacher runs online on both sides, so the ratio is of whole steps.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from random_model import random_llama

from semalign import __version__
from semalign.data import Example, batches
from semalign.losses.geometry import Geometry
from semalign.losses.kl import ForwardKL
from semalign.methods import MethodContext
from semalign.methods.semalign import SemAlign
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
    for name, outputs in CASES.items():
        pairs = [[seconds(options, outputs, cache) for cache in (True, False)] for _ in range(options.rounds)]
        ratios = [kept / naive for kept, naive in pairs]
        found = {
            "case": name,
            "ratio": statistics.median(ratios),
            "ratios": ratios,
            "seconds_kept": statistics.median(kept for kept, _ in pairs),
            "seconds_naive": statistics.median(naive for _, naive in pairs),
            **vars(options),
            "versions": {"semalign": __version__, "torch": torch.__version__},
        }
        print(json.dumps(found))
    return 0


def seconds(options: argparse.Namespace, outputs: tuple, cache: bool) -> float:
    """One training, the models' making not counted."""
    student, teacher = (
        random_llama(options.layers, options.width, n_token=1024, n_pos=N_POS, seed=seed) for seed in (0, 1)
    )
    examples = rows()
    context = MethodContext(
        teacher=teacher,
        student=student,
        tokens=SharedTokens.of_one(torch.arange(1024)),
        extract=list(batches(examples[:4], 4, 0)),
        calibration=(),
        seed=0,
    )
    method = SemAlign(
        pairing=Depth(), site="block_delta", loss=Geometry(), outputs=outputs, schedule=Frontier(cache=cache)
    )
    plan = method.plan(context)
    adapter = lora(student, plan.layers, seed=0)
    training = TrainingOptions(epochs=options.epochs, batch_size=8, diagnose_every=10**6, checkpoint_every=10**6)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        train(method.step(context, plan), examples, training, pad_id=0, seed=0, folder=Path(folder))
        took = time.perf_counter() - started
    unload(adapter)
    return took


def rows() -> list[Example]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 1024, (N_ROW, N_POS), generator=generator).tolist()
    return [Example(f"row{i}", "random", row, N_PROMPT, 4 * (N_POS - N_PROMPT), False) for i, row in enumerate(ids)]


if __name__ == "__main__":
    sys.exit(main())
