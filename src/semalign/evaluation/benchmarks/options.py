"""What is asked of a model, checked before anything is loaded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semalign.data.benchmarks import BENCHMARKS
from semalign.errors import UserError, unknown
from semalign.evaluation.sampling import Draws

PROTOCOLS = ("lm-eval", "paper")
TEMPLATES = ("plain", "chat")
EXAMPLES = {"mmlu": 5, "gsm8k": 7473, "humaneval": 0, "mbpp": 3}
"""How many solved examples each of lm-eval's tasks can show."""
CODE = ("humaneval", "mbpp")
"""Benchmarks of generated programs, which tests judge."""
SAMPLES = 20
"""Answers to each HumanEval prompt in the paper's protocol."""
TEMPERATURE = 0.1
"""Of sampled answers in the paper's protocol."""
KS = (1, 5, 10, 20, 100)
"""Where pass@k is told, as far as there are as many samples."""


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
    """Answers to each prompt of a benchmark of code."""
    temperature: float | None = None
    k: Sequence[int] | None = None
    """Where pass@k is told; pass@1 always is."""
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
        _check_samples(self)
        for task in self.tasks if self.data is not None else ():
            if not (self.data / task).is_dir():  # pyright: ignore[reportOptionalOperand]
                raise UserError(f"--data {self.data}: no folder '{task}' in it; without --data the hub's rows are used")

    def draws(self, task: str) -> Draws:
        """How often each prompt of a benchmark is answered in the paper's protocol, and at which temperature.

        HumanEval is sampled always, MBPP where `samples` says how often; all else is greedy.
        """
        samples = self.samples or (SAMPLES if task == "humaneval" else None)
        if task not in CODE or samples is None:
            return Draws()
        return Draws(samples, TEMPERATURE if self.temperature is None else self.temperature, self.seed)

    def ks(self, task: str) -> list[int]:
        """Where pass@k is told beside pass@1, the score."""
        n = self.draws(task).count
        return sorted({k for k in self.k or KS if 1 < k <= n})

    def identity(self) -> dict[str, Any]:
        """What answers depend on beside model and rows; not the batch size."""
        return {
            "protocol": self.protocol,
            "template": self.template,
            "limit": self.limit,
            "num_fewshot": self.num_fewshot,
            "samples": self.samples,
            "temperature": self.temperature,
            "k": None if self.k is None else list(self.k),
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
        return
    for task in options.tasks:
        if options.num_fewshot is not None and not 0 <= options.num_fewshot <= EXAMPLES[task]:
            most = f"lm-eval's {task} has {EXAMPLES[task]} examples to show"
            raise UserError(f"--num-fewshot {options.num_fewshot}: {most}; evaluate it in a folder of its own")


def _check_samples(options: Options) -> None:
    given = [name for name in ("samples", "temperature", "k") if getattr(options, name) is not None]
    if not given:
        return
    if options.protocol != "paper":
        raise UserError(f"--{given[0]}: lm-eval's tasks take one greedy answer; use --protocol paper")
    if not set(CODE) & set(options.tasks):
        raise UserError(f"--{given[0]}: has an effect on {' and '.join(CODE)} alone, and none is among --tasks")
    if options.samples is None:
        raise UserError(f"--{given[0]}: say with --samples how often each prompt is answered")
    if options.temperature is not None and not 0 < options.temperature < math.inf:
        raise UserError(f"--temperature {options.temperature}: expected a number above 0")
    if options.k is not None and (not options.k or not all(1 <= k <= options.samples for k in options.k)):
        given_k = ",".join(map(str, options.k))
        raise UserError(f"--k {given_k}: expected whole numbers from 1 to --samples {options.samples}")
