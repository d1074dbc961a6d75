"""Are the rows whole, enough, apart from what is scored, and of like lengths."""

from collections.abc import Iterator
from typing import Literal

from ..data import Batch, counts, padding_share, padding_token
from ..training.loop import batch_plan
from ..training.micro import micro_batches
from .finding import Finding
from .subject import Subject

CUT = 0.05  # share of cut rows from which what a model learns is to stop in the middle
PADDED = 0.1  # the library's own aim for the share of padding


def examine_rows(subject: Subject) -> Iterator[Finding]:
    yield from _splits(subject)
    yield from _truncation(subject)
    yield from _overlap(subject)
    if subject.rows.split("train"):
        yield _padding(subject)


def micro_of(subject: Subject, reader: Literal["student", "teacher"] = "student") -> list[Batch]:
    """The batches that a model would read in the first epoch, in order."""
    rows, model = (subject.rows, subject.student) if reader == "student" else (subject.rows.of_teacher, subject.teacher)
    examples, options = rows.split("train"), subject.config.training
    n_step = options.n_step(len(examples)) // options.epochs
    steps = batch_plan(len(examples), options, subject.config.seed)[:n_step]
    pad_id = padding_token(model.tokenizer)
    return [batch for step in steps for batch in micro_batches([examples[i] for i in step], options, pad_id)]


def _splits(subject: Subject) -> Iterator[Finding]:
    size = {split: len(subject.rows.split(split)) for split in subject.rows.examples}
    if not size.get("train"):
        yield Finding("error", "no rows to train on", "data.tasks", "add a task with rows in 'train'")
    if not size.get("align") and subject.uses_teacher:
        yield Finding(
            "note",
            "no 'align' rows: maps of states are fitted on the rows that are trained on",
            "data.tasks",
            "give 'align' rows where a map is fitted and there are rows to spare",
        )
    said = ", ".join(f"{n} {split}" for split, n in size.items() if n)
    yield Finding("ok", f"rows: {said or 'none'}", "data.tasks")
    scored = subject.config.evaluation.split
    for task in subject.rows.tasks:
        if not task.splits.get(scored):
            yield Finding(
                "error", f"no rows in split '{scored}', which is scored", task.name, f"give some rows in '{scored}'"
            )


def _truncation(subject: Subject) -> Iterator[Finding]:
    longest = subject.config.data.max_length
    whole = True
    for split, by_task in subject.rows.examples.items():
        for task, examples in by_task.items():
            found = counts(examples)
            if not found["truncated"]:
                continue
            whole, share = False, found["truncated"] / found["rows"]
            yield Finding(
                "warning" if share >= CUT else "note",
                f"{found['truncated']} of {found['rows']} rows ({share:.0%}) are cut at {longest} tokens",
                f"{task}, {split}",
                "raise data.max_length, or leave long rows out",
            )
    if whole:
        yield Finding("ok", f"no row is longer than {longest} tokens", "data.max_length")


def _overlap(subject: Subject) -> Iterator[Finding]:
    found = subject.overlap
    for warning in found.warnings:
        dropped = found.action == "drop"
        yield Finding(
            "note" if dropped else "warning", warning, "data.overlap", "" if dropped else "set 'overlap: drop'"
        )
    if not found.warnings:
        yield Finding("ok", f"no training row shares {found.n_word} words in a row with a scored one", "data.overlap")


def _padding(subject: Subject) -> Finding:
    share = padding_share(micro_of(subject))
    much = share > PADDED
    return Finding(
        "note" if much else "ok",
        f"{share:.0%} of the positions of the training batches are padding",
        "training",
        f"set training.max_padding to {PADDED}, or a smaller micro_batch_size" if much else "",
    )
