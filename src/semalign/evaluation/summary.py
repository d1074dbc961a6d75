"""From lm-eval's samples of a task to its TaskScore, with the protocol that a reader needs to repeat it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from semalign.data import Row, Task, Template
from semalign.errors import UserError
from semalign.evaluation.harness import Sample, description
from semalign.evaluation.outcome import Outcome
from semalign.evaluation.sampling import Draws
from semalign.evaluation.scores import TaskScore

PACKAGES = ("semalign", "lm_eval", "torch", "transformers", "tokenizers")
# What the scorer compared with, by the name it has in a row.
EXPECTED = ("final", "tests", "entry_point", "code_prefix")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a task is asked; `reason` says why it gets no score, None if it does."""

    task: Task
    split: str
    template: Template
    batch_size: int
    reason: str | None
    draws: Draws

    @property
    def rows(self) -> list[Row]:
        return self.task.splits[self.split]

    def record(self, truncated: int) -> dict[str, Any]:
        kinds = [kind for kind in ("bits_per_byte", self.task.score) if kind]
        return {
            "split": self.split,
            "template": self.template,
            "rows": len(self.rows),
            "sampling": f"all {len(self.rows)} rows of the task's '{self.split}' split, in its order",
            "notes": list(self.task.notes),
            "few_shot": 0,
            "draws": asdict(self.draws),
            "stop": list(self.task.stop),
            "max_new_tokens": self.task.max_new_tokens,
            "batch_size": self.batch_size,
            "truncated_requests": truncated,
            "lm_eval_tasks": {kind: description(kind)["metadata"] for kind in kinds},
        }


def summarise(
    protocol: Protocol, documents: Sequence[Sample], answered: Mapping[str, Sequence[Sample]], truncated: int
) -> TaskScore:
    """The score of a task from what was answered: always its 'bits', and its 'score' where one was taken."""
    rows = protocol.rows
    row_bits = [-sample["bits_per_byte"][0] / math.log(2) for sample in answered["bits"]]
    row_bytes = [sample["bits_per_byte"][1] for sample in answered["bits"]]
    _check_finite(protocol, row_bits)
    samples = [
        {"id": row.id, "prompt": document["prompt"], "gold": row.answer, "bits": bits, "bytes": size}
        for row, document, bits, size in zip(rows, documents, row_bits, row_bytes, strict=True)
    ]
    if scored := answered.get("score"):
        samples = [{**own, **_response(row, got)} for own, row, got in zip(samples, rows, scored, strict=True)]
    outcomes = [sample["outcome"] for sample in samples if "outcome" in sample]
    return TaskScore(
        task=protocol.task.name,
        metric=description(protocol.task.score or "bits_per_byte")["metadata"]["metric"],
        score=sum(outcomes) / len(outcomes) if outcomes else None,
        outcomes=outcomes,
        bits_per_byte=sum(row_bits) / sum(row_bytes),
        row_bits=row_bits,
        row_bytes=row_bytes,
        ids=[row.id for row in rows],
        samples=samples,
        protocol=protocol.record(truncated),
        versions={name: version(name) for name in PACKAGES},
        reason=protocol.reason,
    )


def _response(row: Row, sample: Sample) -> dict[str, Any]:
    """What the model answered and what the scorer made of it."""
    if "acc" in sample:
        nats, choices = [response[0] for response in sample["filtered_resps"]], row.extra["choices"]
        chosen = choices[nats.index(max(nats))]
        told = {"generation": chosen, "choices": choices, "log_likelihoods": nats}
        return {**told, "gold": choices[row.extra["gold"]], "outcome": float(sample["acc"])}
    outcomes: list[Outcome] = sample["outcomes"]
    expected = {name: row.extra[name] for name in EXPECTED if name in row.extra}
    answered = sample["filtered_resps"][0]
    if len(outcomes) == 1:
        (outcome,) = outcomes
        text = answered if isinstance(answered, str) else answered[0]
        return {
            "generation": text,
            "read": outcome.read,
            **expected,
            "outcome": outcome.value,
            "reason": outcome.reason,
        }
    told = {"generations": list(answered), "reads": [outcome.read for outcome in outcomes]}
    values = [outcome.value for outcome in outcomes]
    passed = {"outcomes": values, "reasons": [outcome.reason for outcome in outcomes]}
    return {**told, **expected, **passed, "outcome": sum(values) / len(values)}


def _check_finite(protocol: Protocol, row_bits: Sequence[float]) -> None:
    for row, bits in zip(protocol.rows, row_bits, strict=True):
        if not math.isfinite(bits):
            raise UserError(
                f"task '{protocol.task.name}' row '{row.id}': the model gives the gold answer {bits} bits; "
                "its weights hold NaN or infinity, or its dtype overflows (try float32)"
            )
