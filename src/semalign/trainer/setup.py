"""What a training needs before its first step: two models, rows as tokens, a method's plan, adapters and step."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..data import Example, Row, Template, answer_coverage, encode, encode_pair, end_token, prompt_coverage
from ..data.rows import rows_from_records
from ..errors import UserError
from ..methods import LoopMethod, Method, MethodContext, Plan
from ..methods.encoder_decoder import refuse_encoder_decoder
from ..methods.step import Step
from ..models import LanguageModel, assemble, load, shared_tokens, tokenizers_agree
from ..prepare import small_batches
from ..results import read_alike
from ..strategy import build
from ..training import LoraOptions
from ..two_tokenizers import LEAST

EXTRACT, CALIBRATION = 20, 80  # rows, as many as a run takes out of a large training set

Records = Sequence[Mapping[str, Any]] | Sequence[Row]


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """Adapters sit on the student, both models' own weights are frozen."""

    student: LanguageModel
    teacher: LanguageModel
    plan: Plan
    adapter: Any
    """The student as a PEFT model."""
    step: Step
    template: Template
    max_length: int

    def encoded(self, records: Records) -> list[Example]:
        """Rows as tokens of the student, with the teacher's beside them where it has others."""
        return _encoded(records, self.student, self.teacher, self.template, self.max_length)


def set_up(
    student: LanguageModel,
    teacher: LanguageModel,
    records: Records,
    *,
    method: str | Mapping[str, Any] | Method,
    template: Template,
    max_length: int,
    lora: Mapping[str, Any] | None,
    seed: int,
    n_step: int,
) -> tuple[Setup, list[Example]]:
    """Check, plan and adapt; the training rows as tokens come with it. UserError before the student is changed.

    The rows that choose layers and fit maps are seeded samples of the training rows.
    """
    chosen = _usable(build("method", method, "method"))
    options = LoraOptions(**(lora or {}))
    difference = tokenizers_agree(teacher, student).difference
    if difference and chosen.one_tokenizer:
        raise UserError(f"method '{chosen.name}' needs a teacher with the student's tokenizer: {difference}")
    refuse_encoder_decoder(chosen.name, chosen, teacher, student)
    chosen.check(teacher, student, n_step)
    chosen.check_lora(teacher, student, options)
    examples = _encoded(records, student, teacher, template, max_length)
    if getattr(chosen, "part", "decoder") == "encoder":
        _refuse_apart(prompt_coverage(examples), "the prompts' tokens")
    order = list(range(len(examples)))
    random.Random(f"{seed}/trainer").shuffle(order)
    looked_at, fitted_on = ([examples[i] for i in sorted(order[:n])] for n in (EXTRACT, CALIBRATION))
    ends = (end_token(teacher.tokenizer, template), end_token(student.tokenizer, template))
    context = MethodContext(
        teacher=teacher,
        student=student,
        tokens=shared_tokens(teacher, student, ends),
        extract=small_batches(looked_at, student),
        calibration=small_batches(fitted_on, student),
        seed=seed,
        lora=options,
    )
    plan = chosen.plan(context)
    adapter = chosen.adapt(context, plan, options)
    step = chosen.step(context, plan)
    done = Setup(
        student=student,
        teacher=teacher,
        plan=plan,
        adapter=adapter,
        step=step,
        template=template,
        max_length=max_length,
    )
    return done, examples


def language_model(
    given: str | PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, argument: str, device: torch.device
) -> LanguageModel:
    """A model by name, or one in memory with its tokenizer; frozen, on the device."""
    if isinstance(given, str):
        if tokenizer is not None:
            raise UserError(f"'{argument}' has no effect beside a model by name, which brings its own; leave it out")
        return load(given, device=device)
    if tokenizer is None:
        raise UserError(f"'{argument}' is missing: a model in memory does not bring its tokenizer")
    if given.training:
        given.eval()
    given.requires_grad_(False).to(device)  # pyright: ignore[reportArgumentType]
    return assemble(given.name_or_path or type(given).__name__, given, tokenizer)


def _usable(method: Method) -> LoopMethod:
    """The method, where its training is one loss for all steps."""
    name, alone = method.name, "takes more than a loss: train it with semalign.run"
    if not isinstance(method, LoopMethod):
        raise UserError(f"method '{name}' {alone}")
    if method.follows_answers:
        raise UserError(
            f"method '{name}': answers '{method.answers}' asks the teacher to answer prompts, but the data set's rows "
            "are what the trainer trains on; leave 'answers' out, or train it with semalign.run"
        )
    if getattr(method, "on_policy", 0):
        raise UserError(f"method '{name}': on_policy lets the student write its own rows, which {alone}")
    if getattr(method, "balance", False):
        raise UserError(f"method '{name}': balance finds weights when a stage begins, which {alone}")
    schedule = getattr(method, "schedule", None)
    if schedule is not None and schedule.name != "joint":
        raise UserError(f"method '{name}': schedule '{schedule.name}' trains in stages, which {alone}")
    return method


def _encoded(
    records: Records, student: LanguageModel, teacher: LanguageModel, template: Template, max_length: int
) -> list[Example]:
    if not len(records):
        raise UserError("the data set is empty; give some rows")
    own = [record for record in records if isinstance(record, Row)]
    others = [(f"row {i}", f"row-{i}", each) for i, each in enumerate(records) if not isinstance(each, Row)]
    if own and others:
        raise UserError("the data set mixes rows and records; give one of them")
    rows = own or rows_from_records(others, task="train")
    starts = (student.decoder_start, teacher.decoder_start)
    if read_alike(teacher, student):
        return encode(rows, student.tokenizer, template=template, max_length=max_length, decoder_start=starts[0])
    tokenizers = (student.tokenizer, teacher.tokenizer)
    examples = encode_pair(rows, *tokenizers, template=template, max_length=max_length, starts=starts)
    _refuse_apart(answer_coverage(examples), "the answers' positions")
    return examples


def _refuse_apart(share: float, of_what: str) -> None:
    if share < LEAST:
        raise UserError(
            f"the tokenizers of teacher and student have read the same text at {share:.1%} of {of_what}, "
            f"and {LEAST:.0%} are needed; choose a pair whose tokens end at the same places"
        )
