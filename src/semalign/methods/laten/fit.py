"""Train the translator: one step a locating row; every step is measured on held-out rows, and the best one is kept."""

import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.func import functional_call

from ...artifacts import write_text
from ...data import Batch, Example, batches
from ...errors import UserError
from ..base import Given
from ..step import Step
from .adapter import adapter_tensors, write_changes
from .locate import Located
from .places import Kind, Places
from .translator import Change, Changes, Translator, changes_of, mean_of, size_of, teacher_vectors

WEIGHT_DECAY, BETAS = 0.05, (0.9, 0.95)  # Tan et al. 2025, as are the shape of the schedule and its shares
RISING, LOWEST = 0.1, 1 / 25


def one_cycle(step: int, n_step: int) -> float:
    """Share of the highest learning rate: half a cosine up from 1/25 in the first tenth, half a cosine down to 1/25."""
    end, last = RISING * n_step - 1, n_step - 1
    if step < end:
        start, goal, share = LOWEST, 1.0, step / end
    else:
        start, goal, share = 1.0, LOWEST, (step - end) / (last - end)
    return goal + (start - goal) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True, eq=False)
class Match:
    """The neurons that a locating row leads to in both models, the j-th best with the j-th best."""

    teacher: Mapping[Kind, Located]
    student: Mapping[Kind, Located]


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """What a training of the translator works with."""

    teacher: Places
    student: Places
    step: Step
    translator: Translator
    matches: Sequence[Match]
    """One a step; the first gives the change that is kept, unless it is the mean over all."""
    examples: Sequence[Example]
    """The locating rows themselves."""
    pool: Sequence[Example]
    """Rows that each step draws from beside its locating row."""
    held_out: Sequence[Example]
    given: Given
    seed: int
    mean: bool
    batch_size: int
    penalty: float
    learning_rate: float

    def run(self) -> list[dict[str, Any]]:
        """Train, and leave the best step's change in the student's adapters; what each step measured."""
        optimizer = torch.optim.AdamW(self.translator.parameters(), betas=BETAS, weight_decay=WEIGHT_DECAY)
        best_loss, best = self.measure(), None
        entries: list[dict[str, Any]] = []
        for step in range(len(self.matches)):
            began = time.perf_counter()
            rate = self.learning_rate * one_cycle(step, len(self.matches))
            optimizer.param_groups[0]["lr"] = rate
            entry = {"step": step, **self._backward(step), "lr": rate, "row": self.examples[step].id}
            optimizer.step()
            optimizer.zero_grad()
            entry["tokens_per_second"] = entry["tokens"] / (time.perf_counter() - began)
            write_changes(self.student.model, self.kept_changes())
            entry |= {"held_out": self.measure(), **({"held_out_untouched": best_loss} if step == 0 else {})}
            if entry["held_out"] < best_loss:
                best_loss = entry["held_out"]
                best = step, {name: p.cpu().clone() for name, p in self.translator.state_dict().items()}
            if self.given.probe is not None and step % self.given.options.diagnose_every == 0:
                entry["probe"] = self.given.probe()
            entries.append(entry)
            self.given.advance(step + 1)
        if best is not None:
            self.translator.load_state_dict(best[1])
        write_changes(self.student.model, {} if best is None else self.kept_changes())
        entries = [{**entry, "kept": best is not None and entry["step"] == best[0]} for entry in entries]
        write_text(self.given.folder / "metrics.jsonl", "".join(json.dumps(entry) + "\n" for entry in entries))
        return entries

    @torch.no_grad()
    def kept_changes(self) -> Changes:
        """What the translator as it stands adds to the student."""
        matches = self.matches if self.mean else self.matches[:1]
        return mean_of([self._changes(match) for match in matches])

    @torch.no_grad()
    def measure(self) -> float:
        """Cross-entropy of the held-out answers with what the adapters hold, in nats a token."""
        micro = self._micro_batches(self.held_out)
        totals = [self.step(batch, self.step.units(batch))[1]["cross_entropy"] for batch in micro]
        return float(torch.stack(totals).sum()) / sum(batch.n_supervised for batch in micro)

    def _changes(self, match: Match) -> Changes:
        vectors = teacher_vectors(self.teacher, match.teacher)
        translated = self.translator({role: x.to(self.student.model.device) for role, x in vectors.items()})
        return changes_of(self.student, match.student, translated)

    def _micro_batches(self, rows: Sequence[Example]) -> list[Batch]:
        size = self.given.options.micro_batch_size or self.batch_size
        ordered = sorted(rows, key=lambda row: len(row.input_ids))  # like lengths together: less padding
        return [batch.to(self.student.model.device) for batch in batches(ordered, size, self.given.pad_id)]

    def _backward(self, step: int) -> dict[str, Any]:
        """Gradients of a step's loss in the translator, and what the step measured.

        The answers' part goes to the changes first, in as many micro-batches as it takes, and from there further.
        """
        n_drawn = min(self.batch_size - 1, len(self.pool))
        drawn = random.Random(f"{self.seed}/laten/{step}").sample(list(self.pool), n_drawn)
        micro = self._micro_batches([*drawn, self.examples[step]])
        n_token, n_supervised = sum(batch.n_tokens for batch in micro), sum(batch.n_supervised for batch in micro)
        changes = self._changes(self.matches[step])
        leaves = {key: Change(c.places, c.values.detach().requires_grad_()) for key, c in changes.items()}
        answers = 0.0
        for batch in micro:
            tensors = adapter_tensors(self.student.model, leaves, "module")
            loss, _, _ = functional_call(self.step, tensors, (batch, {"cross_entropy": n_supervised}))
            loss.backward()
            answers += float(loss.detach())
        size = size_of(changes)
        torch.autograd.backward(
            [*(change.values for change in changes.values()), self.penalty * size],
            [*(leaf.values.grad for leaf in leaves.values()), torch.ones_like(size)],
        )
        norm = float(torch.stack([p.grad.norm() for p in self.translator.parameters() if p.grad is not None]).norm())
        total = answers + self.penalty * float(size.detach())
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise UserError(
                f"training stopped at step {step}: the loss or its gradient is not a finite number (locating row "
                f"{self.examples[step].id}); lower the method's learning_rate or look at this row"
            )
        return {
            "loss": total,
            "terms": {"cross_entropy": answers, "mean_square_change": float(size.detach())},
            "cosine": {},
            "grad_norm": norm,
            "tokens": n_token,
            "supervised": n_supervised,
        }


def held_out_rows(rows: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Rows that choose the step, and the others; at least one of each."""
    if len(rows) < 2:
        raise UserError(
            f"method 'laten' needs at least 2 'align' (or training) rows, some to train on and some to choose the step "
            f"by, and there is {len(rows)}; raise rows.align"
        )
    order = random.Random(f"{seed}/laten/held_out").sample(list(rows), len(rows))
    n = min(max(1, round(share * len(rows))), len(rows) - 1)
    return order[:n], order[n:]
