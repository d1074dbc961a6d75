"""A training step against a bare loop of the same arithmetic, and version 1 against full-depth LoRA-SFT.

`python benchmarks/step.py`: one JSON object. Student and teacher are Llama-shaped with random weights (time does not
depend on what they know). The bare loop is what one would write in plain PyTorch for the same terms: forward with all
hidden states, logits at the answers, autograd, clipping, AdamW; it keeps no metrics. Both must end at the same loss.
The measurement of each term's own gradient, which one step in 25 makes, is left out.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import alternated, peak_bytes
from random_model import random_llama
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div, log_softmax

from cache import N_TOKEN, SIZES, STUDENT, TEACHER, examples
from semalign.data import Example, batches, collate
from semalign.losses.cosine import Cosine
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.kl import ForwardKL
from semalign.methods import MethodContext, Plan
from semalign.methods.base import LoopMethod
from semalign.methods.cache_options import CacheOptions
from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.methods.teacher_cache import TeacherCache
from semalign.models import SharedTokens, lora, unload
from semalign.pairing.manual import Manual
from semalign.training import TrainingOptions, train
from semalign.training.loop import batch_plan, learning_rate_factor

OPTIONS = TrainingOptions(epochs=1, batch_size=8, diagnose_every=10**6, checkpoint_every=10**6)
TERMS = SemAlign(
    pairing=Manual(pairs=((2, 4), (4, 7))),
    site="block_out",
    loss=Cosine(),
    outputs=(CrossEntropy(), ForwardKL()),
    train="all",
)
V1 = SemAlign(pairing=Manual(pairs=((4, 7),)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=32, help="in batches of 8")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measured(options.rows, options.rounds)))
    return 0


def measured(n_row: int, rounds: int) -> dict[str, Any]:
    ours, bare = (against_bare(by, n_row) for by in ("ours", "bare"))
    apart = abs(ours() / bare() - 1)
    assert apart < 1e-3, f"the two loops do not do the same arithmetic: their last losses differ by {apart:.1e}"
    time = alternated(ours, bare, rounds)
    peaks = {by: peak_bytes(against_bare, by, n_row) for by in ("ours", "bare")}
    depth = {"online": (v1(n_row, None), full(n_row)), "cached": (v1(n_row, CacheOptions()), full(n_row))}
    return {
        "step_vs_bare": time,
        "memory_vs_bare": peaks["ours"] / peaks["bare"],
        "peak_bytes": peaks,
        "v1_step_vs_full_lora": {by: alternated(*pair, rounds) for by, pair in depth.items()},
    }


def context_of(rows: Sequence[Example]) -> MethodContext:
    return MethodContext(
        teacher=random_llama(**TEACHER, **SIZES),
        student=random_llama(**STUDENT, **SIZES),
        tokens=SharedTokens.of_one(torch.arange(N_TOKEN)),
        extract=list(batches(rows[:4], 4, 0)),
        calibration=(),
        seed=0,
    )


def against_bare(by: str, n_row: int) -> Callable[[], float]:
    """A training from the start; it returns the last loss."""
    rows = examples(n_row)
    context = context_of(rows)
    plan = TERMS.plan(context)
    return partial(_fresh, context, plan, partial(_ours, TERMS, None) if by == "ours" else _bare, rows)


def v1(n_row: int, cache: CacheOptions | None) -> Callable[[], float]:
    rows = examples(n_row)
    context = context_of(rows)
    plan, signals = V1.plan(context), None
    if cache is not None:
        signals = TeacherCache.of(V1.step(context, plan), cache, Path(tempfile.mkdtemp()))
        signals.fill(rows)
    return partial(_fresh, context, plan, partial(_ours, V1, signals), rows)


def full(n_row: int) -> Callable[[], float]:
    rows = examples(n_row)
    context = context_of(rows)
    return partial(_fresh, context, SFT().plan(context), partial(_ours, SFT(), None), rows)


def _fresh(context: MethodContext, plan: Plan, loop: Callable[..., float], rows: Sequence[Example]) -> float:
    adapter = lora(context.student, plan.layers, seed=0, dropout=0.0)
    try:
        return loop(context, plan, rows)
    finally:
        unload(adapter)


def _ours(
    method: LoopMethod, signals: TeacherCache | None, context: MethodContext, plan: Plan, rows: Sequence[Example]
) -> float:
    step = method.step(context, plan)
    step.gradient_norms = lambda batch, units: {}  # pyright: ignore[reportAttributeAccessIssue]  for this object alone
    if signals is not None:
        step.signals = signals
    with tempfile.TemporaryDirectory() as folder:
        return train(step, rows, OPTIONS, pad_id=0, seed=0, folder=Path(folder)).entries[-1]["loss"]


def _bare(context: MethodContext, plan: Plan, rows: Sequence[Example]) -> float:
    teacher, student = context.teacher.module, context.student.module
    parameters = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=OPTIONS.learning_rate, weight_decay=OPTIONS.weight_decay)
    order = batch_plan(len(rows), OPTIONS, 0)
    last = 0.0
    student.train()
    for step, indices in enumerate(order):
        batch = collate([rows[i] for i in indices], 0)
        given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "use_cache": False}
        with torch.no_grad():
            theirs = teacher.model(**given, output_hidden_states=True)
            said = log_softmax(teacher.lm_head(theirs.last_hidden_state[batch.mask]), -1)
        ours = student.model(**given, output_hidden_states=True)
        logits = student.lm_head(ours.last_hidden_state[batch.mask])
        loss = cross_entropy(logits, batch.targets[batch.mask])
        loss = loss + kl_div(log_softmax(logits, -1), said, log_target=True, reduction="batchmean")
        for pair in plan.pairs:
            ((layer, _),) = pair.teacher
            aim = plan.maps[pair.student](theirs.hidden_states[layer + 1][batch.mask])
            state = ours.hidden_states[pair.student + 1][batch.mask]
            loss = loss + (1 - cosine_similarity(state, aim, dim=-1)).mean() / len(plan.pairs)
        for group in optimizer.param_groups:
            group["lr"] = OPTIONS.learning_rate * learning_rate_factor(step, len(order), OPTIONS.warmup)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, OPTIONS.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()
        last = float(loss.detach())
    student.eval()
    return last


if __name__ == "__main__":
    sys.exit(main())
