"""Has the teacher anything to give: bits per byte of gold answers, both models on the same few rows."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..data import Example, padding_token
from ..evaluation.likelihood import Likelihood
from ..evaluation.seq2seq import Seq2SeqLikelihood
from ..models import LanguageModel, evaluating
from ..progress import Advance, silent
from .finding import Finding
from .subject import Subject

LOOKED_AT = 16  # rows a task: seconds on a real model, and enough to see a teacher that knows more


def examine_advantage(subject: Subject, advance: Advance = silent) -> Iterator[Finding]:
    """On validation rows, or on extract rows where a task has none; never on the rows that are reported."""
    asked = {task.name: _asked(subject, task.name) for task in subject.rows.tasks}
    total, done = 2 * sum(len(examples) for _, examples in asked.values()), 0

    def more(n_row: int) -> None:
        nonlocal done
        done += n_row
        advance(done, total)

    for task, (split, examples) in asked.items():
        if examples:
            yield _compared(subject, task, split, examples, more)
        else:
            yield Finding(
                "note",
                "no validation or extract rows, so the two models were not compared",
                task,
                "give some, for example rows.validation: 8",
            )


def _asked(subject: Subject, task: str) -> tuple[str, Sequence[Example]]:
    """The first split of a task that has rows, and some of them; '' and none where none has."""
    for split in ("validation", "extract"):
        if examples := subject.rows.examples.get(split, {}).get(task, [])[:LOOKED_AT]:
            return split, examples
    return "", []


def _compared(
    subject: Subject, task: str, split: str, examples: Sequence[Example], more: Callable[[int], None]
) -> Finding:
    read = [e.of_teacher for e in examples]
    theirs, ours = bits(subject.teacher, read, more), bits(subject.student, examples, more)
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


def bits(
    model: LanguageModel, examples: Sequence[Example], more: Callable[[int], None] = lambda _n: None
) -> list[float]:
    """Bits of each answer's text after its prompt; the end token is left out, as where tasks are scored.

    `more` hears of every batch how many rows it had.
    """
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
            more(len(batch))
    return found
