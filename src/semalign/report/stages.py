"""Stages of a schedule and the weights of balanced terms, as the metrics of a training tell them."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import units
from .record import Record, label, models

Steps = Sequence[Mapping[str, Any]]


def stages(steps: Steps) -> list[Mapping[str, Any]]:
    """The first entry of each stage, in order; empty where a training had one stage only."""
    starts: list[Mapping[str, Any]] = []
    for step in steps:
        if step.get("stage") is not None and (not starts or starts[-1]["stage"] != step["stage"]):
            starts.append(step)
    return starts


def stage_name(entry: Mapping[str, Any]) -> str:
    """A stage by the student layers of its pairs, or by its number, from 1, where it has none."""
    layers = [pair.rpartition("->")[2].strip() for pair in entry.get("cosine") or {}]
    if not layers:
        return f"stage {entry['stage'] + 1}"
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(layers)}"


def balanced(record: Record) -> tuple[str, ...]:
    """A sentence for each training that chose its terms' weights by gradient norm, stage by stage."""
    sentences = []
    for model in models(record):
        steps = record["training"].get(model["key"]) or ()
        chosen = [step for step in stages(steps) or steps[:1] if step.get("weights")]
        if chosen:
            parts = [f"{_prefix(step)}{_weights(step['weights'])}" for step in chosen]
            name = label(record, model["key"])
            sentences.append(f"{name}: the weights of its terms were set by gradient norm ({'; '.join(parts)}).")
    return tuple(sentences)


def _prefix(step: Mapping[str, Any]) -> str:
    return "" if step.get("stage") is None else f"{stage_name(step)}: "


def _weights(weights: Mapping[str, Any]) -> str:
    return ", ".join(f"{term} {units.significant(value)}" for term, value in weights.items())
