"""FLOPs of each stage against the matmul rate of the machine: `python benchmarks/flops.py`, one JSON object.

Counted with the formulas of `torch.utils.flop_counter` (matrix products, attention, triangular solves; what goes
element by element is left out), beside what a formula says for Llama's shape. The share of the limit is FLOPs over CPU
seconds, over the rate of a large product of two matrices in the same dtype, measured between the runs. One thread.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from measure import cpu_seconds
from recipe_step import Shape
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from semalign.attribution.gradient_x_activation import GradientXActivation
from semalign.basis.base import Vocabulary
from semalign.basis.cosine import Cosine
from semalign.evaluation.likelihood import Likelihood
from semalign.linalg.gram import PANEL

# The student and the teacher of benchmarks/rivals.py, and its batch.
SHAPE = Shape(rows=4, pos=192, n_token=8000, width=256)
LORA_RANK = 16


class Stage(NamedTuple):
    name: str
    run: Callable[[], Any]
    expected: float
    """FLOPs by the formula."""
    dtype: torch.dtype = torch.float32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measured(SHAPE, options.rounds)))
    return 0


def measured(shape: Shape, rounds: int, side: int = 1536) -> dict[str, Any]:
    found = [account(stage, rounds, side) for stage in stages(shape)]
    return {"stages": found, "share_of_matmul_rate": next(s["share"] for s in found if s["name"] == "training step")}


def account(stage: Stage, rounds: int, side: int) -> dict[str, Any]:
    counted = flops(stage.run)
    a, b = (torch.randn(side, side, dtype=stage.dtype) for _ in range(2))
    stage.run()
    torch.mm(a, b)
    runs = [(cpu_seconds(stage.run), cpu_seconds(lambda: torch.mm(a, b))) for _ in range(rounds)]
    rates = [(counted / seconds, 2 * side**3 / reference) for seconds, reference in runs]
    return {
        "name": stage.name,
        "dtype": str(stage.dtype).removeprefix("torch."),
        "flops": counted,
        "formula": stage.expected,
        "seconds": statistics.median(seconds for seconds, _ in runs),
        "matmul_rate": statistics.median(rate for _, rate in rates),
        "share": statistics.median(ours / limit for ours, limit in rates),
    }


def flops(run: Callable[[], Any]) -> int:
    with _Counter() as counter:
        run()
    return counter.total


class _Counter(TorchDispatchMode):
    """`FlopCounterMode` without its hooks on modules, which refuse gradients made in a forward."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if count := COUNTED.get(func.overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=made)
        return made


def stages(shape: Shape) -> list[Stage]:
    """The map first: it reads the heads before LoRA is on the student."""
    teacher, student, batch = shape.context.teacher, shape.context.student, shape.batch
    sides = [Vocabulary.of(model, torch.arange(shape.n_token)) for model in (teacher, student)]
    rows = [tuple(row) for row in batch.input_ids[:, :-1].tolist()]
    answers = [row[shape.pos - n_answer(shape) :] for row in batch.input_ids.tolist()]
    score = Likelihood(student.module, rows=shape.rows, pad=0, share=False)
    attribution = GradientXActivation()
    forward, head = trunk(shape, "student"), output(shape, "student")
    heard = trunk(shape, "teacher") + output(shape, "teacher")
    return [
        Stage("map fitted", lambda: Cosine().fit(*sides), map_flops(shape), torch.float64),
        Stage("attribution", lambda: list(attribution.products(student, batch)), 2 * (forward + head)),
        Stage("scoring", lambda: list(score(rows, answers)), forward + head),
        Stage("teacher", lambda: teacher_logits(shape), heard),
        Stage("training step", shape.training_step(), heard + 2 * (forward + head) + adapters(shape)),
    ]


@torch.no_grad()
def teacher_logits(shape: Shape) -> torch.Tensor:
    teacher, batch = shape.context.teacher, shape.batch
    return teacher.logits(teacher.module.model(batch.input_ids).last_hidden_state[batch.mask])


def n_answer(shape: Shape) -> int:
    return int(shape.batch.mask[0].sum())


def trunk(shape: Shape, of: str) -> float:
    """Forward of all blocks: 16 width^2 weights a block, and attention to every position of the row."""
    n_layer, width = _size(shape, of)
    return shape.rows * shape.pos * n_layer * (2 * 16 * width**2 + 4 * shape.pos * width)


def output(shape: Shape, of: str) -> float:
    """Logits at the answers."""
    return 2 * shape.rows * n_answer(shape) * _size(shape, of)[1] * shape.n_token


def adapters(shape: Shape) -> float:
    """Forward, and gradients to states and weights, of LoRA on up, down, v and o: 14 rank x width weights a block."""
    return 3 * 2 * shape.rows * shape.pos * shape.student_layers * 14 * LORA_RANK * shape.width


def map_flops(shape: Shape) -> float:
    """Gram matrices by panels of their upper half, two triangular solves a row, and the product of both bases."""
    total = 2.0 * shape.n_token * shape.width * shape.teacher_width
    for width in (shape.width, shape.teacher_width):
        gram = sum(2 * min(PANEL, width - first) * (width - first) for first in range(0, width, PANEL))
        total += shape.n_token * (gram + 2 * width**2)
    return total


def _size(shape: Shape, of: str) -> tuple[int, int]:
    if of == "student":
        return shape.student_layers, shape.width
    return shape.teacher_layers, shape.teacher_width


def _attention(q: Any, k: Any, v: Any, *_: Any, out_val: Any = None, **__: Any) -> int:
    return sdpa_flop_count(q.shape, k.shape, v.shape)


def _attention_backward(grad: Any, q: Any, k: Any, v: Any, *_: Any, out_val: Any = None, **__: Any) -> int:
    return sdpa_backward_flop_count(grad.shape, q.shape, k.shape, v.shape)


def _solve(rhs: Any, factor: Any, *_: Any, out_val: Any = None, **__: Any) -> int:
    return 2 * factor.shape[-1] * rhs.numel()


COUNTED = {
    **flop_registry,
    torch.ops.aten.addmm_: flop_registry[torch.ops.aten.addmm],
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    torch.ops.aten.cholesky_solve: _solve,
}


if __name__ == "__main__":
    sys.exit(main())
