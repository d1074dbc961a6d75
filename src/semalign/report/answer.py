"""The question of a run and its answer in plain sentences, decided by the paired interval and by nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import start, trained_on, units
from .record import (
    LEVEL,
    Record,
    complete,
    difference,
    known,
    label,
    likelihood_tasks,
    main_control,
    main_method,
    mean,
    mean_bits,
    models,
    score,
    scored_tasks,
    the_teacher,
)

Verdict = Literal["helps", "hurts", "unclear", "unknown"]
HEADLINES: dict[Verdict, str] = {
    "helps": "Yes, it did better than",
    "hurts": "No, it did worse than",
    "unclear": "No clear difference",
    "unknown": "This run cannot say",
}


@dataclass(frozen=True)
class Answer:
    """A verdict, the sentences that carry it, and what a careful reader should also know."""

    verdict: Verdict
    headline: str
    sentences: tuple[str, ...]
    remarks: tuple[str, ...]


def question(record: Record) -> str:
    """What the report answers, with the names of the models."""
    record = complete(record)
    student, teacher = (_short(record[part].get("model", f"the {part}")) for part in ("student", "teacher"))
    method, control = main_method(record), main_control(record)
    if method in (None, "sft"):
        return f"What did {label(record, method) if method else 'training'} change in {student}, beside {teacher}?"
    where = " on the same rows" if control and trained_on.on_same_rows(record, method, control) else ""
    compared = f", compared with {label(record, control)}{where}" if control else ""
    return f"Did aligning {student} to {teacher} help{compared}?"


def _short(model: str) -> str:
    """A folder's own name; a hub id as it is."""
    return Path(model).name if model.startswith((".", "~")) or Path(model).is_absolute() else model


def answer(record: Record) -> str:
    """The answer as one paragraph of plain text."""
    found = findings(record)
    return f"{found.headline}. {' '.join(found.sentences)}"


def findings(record: Record) -> Answer:
    """Verdict, sentences and remarks of a record."""
    record = complete(record)
    verdict, comparison = _compare(record, main_method(record), main_control(record))
    sentences = (comparison, *_frame(record), *_overshoot(record), *_scale(record))
    other = f" {label(record, main_control(record) or '')}" if verdict in ("helps", "hurts") else ""
    return Answer(
        verdict,
        f"{HEADLINES[verdict]}{other}",
        sentences,
        (
            *_distance(record),
            *_by_task(record),
            *_teacher(record),
            *start.said(record),
            *trained_on.said(record),
            *_scope(record),
        ),
    )


def reading(low: float | int, high: float | int) -> Verdict:
    """What an interval of a difference says: above 0, below 0, or not apart from it."""
    if low <= 0 <= high:
        return "unclear"
    return "helps" if low > 0 else "hurts"


def _compare(record: Record, method: str | None, control: str | None) -> tuple[Verdict, str]:
    if method in (None, "sft"):
        return "unknown", "No aligned student was trained in this run, so there is nothing to compare."
    if control is None:
        return (
            "unknown",
            f"The run has no LoRA-SFT control, so what {label(record, method)} adds to plain training is not known.",
        )
    a, b = label(record, method), label(record, control)
    found = difference(record, method, control)
    if found is None:
        return "unknown", _without_interval(record, method, control)
    verdict = reading(found["low"], found["high"])
    interval = f"{LEVEL} % interval {units.points(found['low'])} to {units.points(found['high'])}"
    size = units.points(abs(found["value"])).lstrip("+")
    budget = _budget(record, method, control)
    if verdict == "unclear":
        change = units.points(found["value"])
        return (
            verdict,
            f"{a} and {b} differ by {change} points {_where(record)} ({interval}, which includes 0){budget}.",
        )
    side = "above" if verdict == "helps" else "below"
    return verdict, f"{a} scores {size} points {side} {b} {_where(record)} ({interval}){budget}."


def _budget(record: Record, method: str, control: str) -> str:
    """Whether both were trained equally long, where the run counted it."""
    found = {model["key"]: model for model in models(record)}
    steps, tokens = ([found[key].get(name) for key in (method, control)] for name in ("steps", "train_tokens"))
    if not all(known(value) and value for value in (*steps, *tokens)):
        return ""
    if steps[0] == steps[1] and tokens[0] == tokens[1]:
        return f", both after {units.count(steps[0])} steps on {units.count(tokens[0])} tokens"
    each = [
        f"{label(record, key)} {units.count(step)} steps on {units.count(token)} tokens"
        for key, step, token in zip((method, control), steps, tokens, strict=True)
    ]
    return f"; not after equally much training: {_list(each)}"


def _where(record: Record) -> str:
    tasks = scored_tasks(record)
    return f"on {tasks[0]}" if len(tasks) == 1 else f"on the mean of {len(tasks)} tasks"


def _without_interval(record: Record, method: str, control: str) -> str:
    a, b = label(record, method), label(record, control)
    values = [mean(record, "mean_score", key).get("value") for key in (method, control)]
    if all(known(value) for value in values):
        shown = [units.percent(value) for value in values]
        scores = f"{a} scores {shown[0]} %, {b} {shown[1]} % {_where(record)}"
        return f"{scores}; without a paired interval that proves nothing."
    bits = [mean_bits(record, key) for key in (method, control)]
    if all(known(value) for value in bits):
        shown = [units.decimal(value) for value in bits]
        return (
            f"No task could be scored for both; on held-out gold answers {a} needs {shown[0]} bits per byte and {b} "
            f"{shown[1]} (lower is better), which measures format as much as knowledge."
        )
    return f"{a} and {b} have no measurement in common."


def _frame(record: Record) -> tuple[str, ...]:
    """Where the student began and what the teacher reaches."""
    keys = ("student", main_method(record), main_control(record), "teacher", "teacher_adapted")
    found = {key: mean(record, "mean_score", key).get("value") for key in keys if key}
    shown = {key: f"{units.percent(value)} %" for key, value in found.items() if known(value)}
    if not {"student", "teacher"} <= set(shown):
        return ()
    names = {"student": "the untouched student scores", "teacher": "the teacher"}
    names["teacher_adapted"] = "the teacher adapted on the same rows"
    text = _list([f"{names.get(key) or label(record, key)} {value}" for key, value in shown.items()])
    return (f"{text[0].upper()}{text[1:]}.",)


def _overshoot(record: Record) -> tuple[str, ...]:
    method = main_method(record)
    if method is None:
        return ()
    above = []
    for task in scored_tasks(record):
        ours, theirs = (score(record, task, key).get("score") for key in (method, record["reference"]))
        if known(ours) and known(theirs) and ours > theirs:
            above.append(f"{task} ({units.percent(ours)} % against {units.percent(theirs)} %)")
    if not above:
        return ()
    where = f"{the_teacher(record)} on {_list(above)}"
    return (f"It passes {where}: the mean gap counts that as distance, but it is not an error.",)


def _scale(record: Record) -> tuple[str, ...]:
    """What a score is where no answer was checked."""
    tasks = likelihood_tasks(record)
    if not tasks:
        return ()
    where = "Scores" if tasks == scored_tasks(record) else f"Scores of {_list(tasks)}"
    return (
        f"{where} are the gold answers' probability a byte, not correct answers: format counts as much as knowledge.",
    )


def _distance(record: Record) -> tuple[str, ...]:
    keys = [key for key in (main_method(record), main_control(record), "student") if key]
    gaps = [(key, mean(record, "mean_gap", key).get("value")) for key in keys]
    shown = [f"{label(record, key)} {units.percent(gap)}" for key, gap in gaps if known(gap)]
    return (
        (f"Mean distance to {the_teacher(record)} in points, smaller is closer: {', '.join(shown)}.",) if shown else ()
    )


def _by_task(record: Record) -> tuple[str, ...]:
    method, control = main_method(record), main_control(record)
    if method is None or control is None or len(scored_tasks(record)) < 2:
        return ()
    found = {task: difference(record, method, control, task) for task in scored_tasks(record)}
    clear = [
        f"{task} ({units.points(item['value'])} points)"
        for task, item in found.items()
        if item and reading(item["low"], item["high"]) != "unclear"
    ]
    if not any(found.values()):
        return ()
    if not clear:
        return ("On no single task is the difference clear.",)
    return (f"Single tasks with a clear difference to {label(record, control)}: {_list(clear)}.",)


def _teacher(record: Record) -> tuple[str, ...]:
    begin, end = (mean(record, "mean_score", key).get("value") for key in ("student", "teacher"))
    if known(begin) and known(end) and end <= begin:
        return (
            "The teacher scores no higher than the untouched student: there is nothing to transfer on these tasks.",
        )
    return ()


def _scope(record: Record) -> tuple[str, ...]:
    if not record["differences"]:
        return ()
    return (f"The intervals ({LEVEL} %, bootstrap) cover which test rows were drawn; other seeds may differ by more.",)


def _list(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
