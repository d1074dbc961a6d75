"""What is asked of a model, checked before anything is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semalign.data.benchmarks import BENCHMARKS
from semalign.errors import UserError, unknown

PROTOCOLS = ("lm-eval", "paper")
TEMPLATES = ("plain", "chat")
EXAMPLES = {"mmlu": 5, "gsm8k": 7473, "humaneval": 0, "mbpp": 3}
"""How many solved examples each of lm-eval's tasks can show."""
SAMPLES = 20
"""Answers to each HumanEval prompt in the paper's protocol."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which benchmarks are asked, and how; `data` None is the hub, None of a number is the protocol's own."""

    tasks: Sequence[str]
    protocol: str = "lm-eval"
    data: Path | None = None
    limit: int | None = None
    num_fewshot: int | None = None
    template: str = "plain"
    samples: int | None = None
    seed: int = 0
    batch_size: int = 16

    def check(self) -> None:
        """Raises UserError where the options do not fit together or the data folder is not there."""
        _check_names(self)
        for name in ("limit", "samples", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name.replace('_', '-')} {value}: expected a whole number from 1")
        _check_protocol(self)
        for task in self.tasks if self.data is not None else ():
            if not (self.data / task).is_dir():  # pyright: ignore[reportOptionalOperand]
                raise UserError(f"--data {self.data}: no folder '{task}' in it; without --data the hub's rows are used")

    @property
    def n_sample(self) -> int:
        return self.samples or SAMPLES

    def identity(self) -> dict[str, Any]:
        """What answers depend on beside model and rows; not the batch size."""
        return {
            "protocol": self.protocol,
            "template": self.template,
            "limit": self.limit,
            "num_fewshot": self.num_fewshot,
            "samples": self.samples,
            "seed": self.seed,
        }


def _check_names(options: Options) -> None:
    if not options.tasks:
        raise UserError(f"--tasks: name at least one of {','.join(BENCHMARKS)}")
    for kind, given, known in (
        *(("benchmark", task, BENCHMARKS) for task in options.tasks),
        ("protocol", options.protocol, PROTOCOLS),
        ("template", options.template, TEMPLATES),
    ):
        if given not in known:
            raise unknown(kind, given, known)
    if len(set(options.tasks)) < len(options.tasks):
        raise UserError(f"--tasks {','.join(options.tasks)}: a benchmark is named twice")


def _check_protocol(options: Options) -> None:
    """An option without effect is an error."""
    if options.protocol == "paper":
        if options.num_fewshot:
            raise UserError("--num-fewshot: the paper's protocol shows no examples; use --protocol lm-eval")
        if options.samples is not None and "humaneval" not in options.tasks:
            raise UserError("--samples: has an effect on humaneval alone, which is not among --tasks")
        return
    if options.samples is not None:
        raise UserError("--samples: lm-eval's tasks take one greedy answer; use --protocol paper")
    for task in options.tasks:
        if options.num_fewshot is not None and not 0 <= options.num_fewshot <= EXAMPLES[task]:
            most = f"lm-eval's {task} has {EXAMPLES[task]} examples to show"
            raise UserError(f"--num-fewshot {options.num_fewshot}: {most}; evaluate it in a folder of its own")
