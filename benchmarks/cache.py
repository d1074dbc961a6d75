"""What the teacher cache saves: `python benchmarks/cache.py`, one JSON object.

Student and teacher are Llama-shaped with random weights, blocks about 1 : 4 (time does not depend on what they know).
Both sides train the same steps, one with the teacher beside it, one from a cache that is filled before. Runs alternate;
the ratio of an epoch is the median over neighbouring runs, and the one quoted is that of the worst case. Peaks are the
resident memory of a process of its own while it trains. The disk is the page cache's: the files are small.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import alternated, cpu_seconds
from random_model import random_llama

from semalign import __version__
from semalign.costs import Ledger
from semalign.data import Example, batches
from semalign.losses.kl import ForwardKL
from semalign.methods import MethodContext, Plan
from semalign.methods.cache_options import CacheOptions
from semalign.methods.semalign import SemAlign
from semalign.methods.step import Step
from semalign.methods.teacher_cache import TeacherCache
from semalign.models import SharedTokens, lora
from semalign.models.released import released
from semalign.pairing.depth import Depth
from semalign.pairing.manual import Manual
from semalign.training import TrainingOptions, train

STUDENT = {"n_layer": 6, "width": 256}
TEACHER = {"n_layer": 11, "width": 384}
N_TOKEN, N_POS, N_PROMPT = 4096, 96, 32
SIZES = {"n_token": N_TOKEN, "n_pos": N_POS}
EPOCHS = 3  # so that gradient norms are measured once in 24 steps, as in a run
CASES = {
    "one pair, in the upper half": SemAlign(pairing=Manual(pairs=((3, 6),))),
    "pairs by depth, KL at the output": SemAlign(pairing=Depth(), outputs=(ForwardKL(),)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=64, help="in batches of 8")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        cases = {case: measured(Path(name), case, options.rows, options.rounds) for case in CASES}
    found = {
        "cached_epoch_vs_online": max(case["time"]["ratio"] for case in cases.values()),
        "cache_bytes_per_token_and_pair": max(case["bytes_per_token_and_pair_int8"] for case in cases.values()),
        "student_width": STUDENT["width"],
        "cases": cases,
        **vars(options),
        "versions": {"semalign": __version__, "torch": torch.__version__},
    }
    print(json.dumps(found))
    return 0


def measured(folder: Path, case: str, n_row: int, rounds: int) -> dict[str, Any]:
    context, plan, rows = start(case, n_row)
    method = CASES[case]
    caches = {
        states: TeacherCache.of(method.step(context, plan), CacheOptions(states=states), folder / case)
        for states in ("bfloat16", "int8")
    }
    filling = {states: cpu_seconds(partial(cache.fill, rows)) for states, cache in caches.items()}
    lora(context.student, plan.layers, seed=0)
    online, cached = (
        partial(epochs, method.step(context, plan), signals, rows) for signals in (None, caches["bfloat16"])
    )
    time = alternated(cached, online, rounds)
    final = 2 * TEACHER["width"] if method.outputs[0].target == "teacher_logits" else 0
    n_token = sum(row.n_supervised for row in rows)
    on_disk = sum(path.stat().st_size for path in caches["int8"].folder.glob("*.safetensors"))
    return {
        "time": time,
        "filling_vs_online_epoch": filling["bfloat16"] / (time["reference_seconds"] / EPOCHS),
        "bytes_per_token_and_pair_int8": (on_disk / n_token - final) / len(plan.pairs),
        "bytes_per_token_of_the_final_state": final,
        "peak_bytes": {by: in_own_process(folder, case, n_row, by) for by in ("online", "cached")},
    }


def start(case: str, n_row: int) -> tuple[MethodContext, Plan, list[Example]]:
    student, teacher = (random_llama(**size, **SIZES) for size in (STUDENT, TEACHER))
    rows = examples(n_row)
    context = MethodContext(
        teacher=teacher,
        student=student,
        tokens=SharedTokens.of_one(torch.arange(N_TOKEN)),
        extract=list(batches(rows[:4], 4, 0)),
        calibration=(),
        seed=0,
    )
    return context, CASES[case].plan(context), rows


def epochs(step: Step, signals: TeacherCache | None, rows: list[Example]) -> None:
    if signals is not None:
        step.signals = signals
    options = TrainingOptions(epochs=EPOCHS, batch_size=8, checkpoint_every=10**6)
    with tempfile.TemporaryDirectory() as folder:
        train(step, rows, options, pad_id=0, seed=0, folder=Path(folder))


def in_own_process(folder: Path, case: str, n_row: int, by: str) -> int:
    here, there = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_peak, args=(there, folder, case, n_row, by))
    child.start()
    there.close()
    found = here.recv()
    child.join()
    return found


def _peak(pipe: Any, folder: Path, case: str, n_row: int, by: str) -> None:
    torch.set_num_threads(1)
    context, plan, rows = start(case, n_row)
    step, signals = CASES[case].step(context, plan), None
    lora(context.student, plan.layers, seed=0)
    ledger, again = Ledger(), partial(random_llama, **TEACHER, **SIZES)
    if by == "online":
        with ledger.stage("train"):
            epochs(step, None, rows)
    else:
        signals = TeacherCache.of(step, CacheOptions(), folder / case)
        with released(context.teacher, again), ledger.stage("train"):
            epochs(step, signals, rows)
    pipe.send(ledger.costs[0].peak_bytes)


def examples(n_row: int) -> list[Example]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, N_TOKEN, (n_row, N_POS), generator=generator).tolist()
    return [Example(f"row{i}", "random", row, N_PROMPT, 4 * (N_POS - N_PROMPT), False) for i, row in enumerate(ids)]


if __name__ == "__main__":
    sys.exit(main())
