"""Whether a run can tell what LoRA's start did from what the alignment did."""

from collections.abc import Mapping
from typing import Any

from .record import Record, label, main_method, models


def unshared_start(specs: Mapping[str, Mapping[str, Any] | None], main: str | None) -> bool:
    """Whether of all trained models (by key, with what they were trained by) the main one alone starts at the principal
    part of the student's weights; another one that aligns layers too is no control of that."""
    if not main or (specs.get(main) or {}).get("start") != "principal":
        return False
    others = [spec for key, spec in specs.items() if spec and key != main]
    return not any(spec["name"] == "pissa" or _starts_unaligned(spec) for spec in others)


def _starts_unaligned(spec: Mapping[str, Any]) -> bool:
    return spec.get("start") == "principal" and spec["name"] != "semalign"


def said(record: Record) -> tuple[str, ...]:
    """One sentence where it cannot."""
    main = main_method(record)
    if not main or not unshared_start({model["key"]: model.get("method") for model in models(record)}, main):
        return ()
    return (
        f"{label(record, main)} starts LoRA at the principal part of the student's weights, and no control does: part "
        "of its gain may be that start and not the alignment, which 'pissa' among the controls would tell.",
    )
