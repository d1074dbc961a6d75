"""Has the teacher anything to give: bits per byte of gold answers, both models on the same few rows."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from ..data import Example, padding_token
from ..evaluation.likelihood import Likelihood
from ..evaluation.seq2seq import Seq2SeqLikelihood
from ..models import LanguageModel, evaluating
from .finding import Finding
from .subject import Subject

LOOKED_AT = 16  # rows a task: seconds on a real model, and enough to see a teacher that knows more


def examine_advantage(subject: Subject) -> Iterator[Finding]:
    """On validation rows, or on extract rows where a task has none; never on the rows that are reported."""
    for task in subject.rows.tasks:
        for split in ("validation", "extract"):
            examples = subject.rows.examples.get(split, {}).get(task.name, [])[:LOOKED_AT]
            if examples:
                yield _compared(subject, task.name, split, examples)
                break
        else:
            yield Finding(
                "note",
                "no validation or extract rows, so the two models were not compared",
                task.name,
                "give some, for example rows.validation: 8",
            )


def _compared(subject: Subject, task: str, split: str, examples: Sequence[Example]) -> Finding:
    read = [e.of_teacher for e in examples]
    theirs, ours = bits(subject.teacher, read), bits(subject.student, examples)
    t = sum(theirs) / sum(e.answer_bytes for e in read)
    s = sum(ours) / sum(e.answer_bytes for e in examples)
    n_better = sum(a < b for a, b in zip(theirs, ours, strict=True))
    measured = (
        f"({t:.3f} bits per byte of gold answers, the student {s:.3f}; better on {n_better} of {len(examples)} {split} "
        "rows)"
    )
    if t < s:
        return Finding("ok", f"the teacher is better than the student {measured}", task)
    adapted = ", before it is adapted" if subject.config.teacher.adapt else ""
    return Finding(
        "warning" if subject.uses_teacher and not adapted else "note",
        f"the teacher is not better than the student{adapted} {measured}",
        task,
        "set teacher.adapt, choose another teacher, or leave the task out",
    )


def bits(model: LanguageModel, examples: Sequence[Example]) -> list[float]:
    """Bits of each answer's text after its prompt; the end token is left out, as where tasks are scored."""
    ends = [len(e.input_ids) - (not e.truncated) for e in examples]
    answers = [e.input_ids[e.n_prompt : end] for e, end in zip(examples, ends, strict=True)]
    found = [0.0] * len(examples)
    with evaluating(model.module):
        how: dict[str, Any] = {"rows": 8, "pad": padding_token(model.tokenizer)}
        if model.is_encoder_decoder:
            begin = examples[0].input_ids[: examples[0].n_prompt]
            likelihood = Seq2SeqLikelihood(model.module, **how, begin=begin)
            inputs = [e.encoder or () for e in examples]
        else:
            likelihood = Likelihood(model.module, **how)
            inputs = [tuple(e.input_ids[: end - 1]) for e, end in zip(examples, ends, strict=True)]
        for batch in likelihood(inputs, answers):
            for index, (nats, _) in batch:
                found[index] = -nats / math.log(2)
    return found
