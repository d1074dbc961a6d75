"""Training steps of one shape with all kinds of terms, ready to run: what growth and the FLOP account measure."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from random_model import random_llama

from semalign.data import Batch, Example, collate
from semalign.losses.cosine import Cosine
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.kl import ForwardKL
from semalign.methods import MethodContext
from semalign.methods.semalign import SemAlign
from semalign.methods.step import Step
from semalign.models import SharedTokens, lora
from semalign.pairing.manual import Manual

N_POS, N_PROMPT = 96, 32


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Cosine at the paired layers, cross-entropy and KL at the output, LoRA on all layers; float32."""

    rows: int = 8
    pairs: int = 2
    n_token: int = 4096
    width: int = 128
    student_layers: int = 8
    teacher_layers: int = 12
    pos: int = N_POS

    @property
    def teacher_width(self) -> int:
        return 2 * self.width

    @cached_property
    def batch(self) -> Batch:
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(3, self.n_token, (self.rows, self.pos), generator=generator).tolist()
        prompt = self.pos * N_PROMPT // N_POS
        return collate([Example(f"row{i}", "random", row, prompt, 4, False) for i, row in enumerate(ids)], 0)

    @cached_property
    def context(self) -> MethodContext:
        sizes = {"n_token": self.n_token, "n_pos": self.pos}
        return MethodContext(
            teacher=random_llama(self.teacher_layers, self.teacher_width, **sizes, seed=0),
            student=random_llama(self.student_layers, self.width, **sizes, seed=1),
            tokens=SharedTokens.of_one(torch.arange(self.n_token)),
            extract=[self.batch],
            calibration=(),
            seed=0,
        )

    @cached_property
    def step(self) -> Step:
        """Paired from the top down, so that the teacher is as deep as the head makes it whatever the pairs."""
        last_s, last_t = self.student_layers - 1, self.teacher_layers - 1
        method = SemAlign(
            pairing=Manual(pairs=tuple((last_s - i, last_t - i) for i in reversed(range(self.pairs)))),
            site="block_out",
            loss=Cosine(),
            outputs=(CrossEntropy(), ForwardKL()),
            train="all",
        )
        plan = method.plan(self.context)
        lora(self.context.student, plan.layers, seed=0, dropout=0.0)
        return method.step(self.context, plan).train()

    def training_step(self) -> Callable[[], float]:
        """Forward, backward and AdamW on the batch."""
        step, batch = self.step, self.batch
        optimizer = torch.optim.AdamW([p for p in step.parameters() if p.requires_grad], lr=1e-4)

        def run() -> float:
            loss = step(batch, step.units(batch))[0]
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return float(loss.detach())

        return run
