"""Whose answers each model was trained on, and whether a run can tell what they did from what the method did."""

from collections.abc import Mapping
from typing import Any

from .record import Record, label, main_method, models

TRAINED_ON = {"gold": "gold answers", "teacher": "the teacher's answers", "both": "gold and the teacher's answers"}


def trained_on(model: Mapping[str, Any]) -> str:
    """Whose answers a model was trained on, in words; empty for one that was not trained."""
    answers = whose(model.get("method"))
    return TRAINED_ON.get(answers, answers) if model.get("method") else ""


def whose(spec: Mapping[str, Any] | None) -> str:
    """`gold`, `teacher` or `both`."""
    return str((spec or {}).get("answers") or "gold")


def on_same_rows(record: Record, a: str | None, b: str | None) -> bool:
    """Whether two models, by key, were trained on the same answers."""
    specs = {model["key"]: model.get("method") for model in models(record)}
    return whose(specs.get(a or "")) == whose(specs.get(b or ""))


def unshared_answers(specs: Mapping[str, Mapping[str, Any] | None], main: str | None) -> bool:
    """Whether of all trained models (by key, with what they were trained by) the main one alone has those answers of
    the teacher; fine-tuning that has them is itself what they are worth."""
    spec = specs.get(main or "")
    if not spec or whose(spec) == "gold" or spec["name"] == "sft":
        return False
    return not any(whose(other) == whose(spec) for key, other in specs.items() if other and key != main)


def said(record: Record) -> tuple[str, ...]:
    """One sentence where the run cannot tell what the answers did from what the method did."""
    main = main_method(record)
    specs = {model["key"]: model.get("method") for model in models(record)}
    if not main or not unshared_answers(specs, main):
        return ()
    return (
        f"{label(record, main)} was trained on answers that the teacher wrote, and no control was: part of its gain "
        f"may be those answers and not the method, which a control with 'answers: {whose(specs[main])}' would tell.",
    )
