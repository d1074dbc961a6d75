"""What the probes of a run found, as the tables and figures ask for it; empty for records without diagnostics."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import units
from .record import Number, Record, known, label, models
from .tables import Cell, Column, Row, Table

BEFORE = "student"  # the key of the untouched student


def probes(record: Record) -> dict[str, Mapping[str, Any]]:
    """What was measured of each student, the untouched one first, then the trained ones in the order of a table."""
    found = record["diagnostics"]
    return {model["key"]: found[model["key"]] for model in models(record) if found.get(model["key"])}


def through(record: Record, key: str) -> list[tuple[int, Mapping[str, Any]]]:
    """Probes of a model by the number of steps behind it: before training, through it, after it."""
    steps = record["training"].get(key) or []
    found = {step["step"] + 1: step["probe"] for step in steps if step.get("probe")}  # measured after the step
    measured = probes(record)
    if measured.get(BEFORE):
        found[0] = measured[BEFORE]
    if measured.get(key) and steps:
        found[steps[-1]["step"] + 1] = measured[key]
    return sorted(found.items(), key=lambda item: item[0])


def pairs(record: Record) -> list[tuple[int, int, float]]:
    """Student layer, teacher layer and weight of every link of the pairing between the layers that probes look at."""
    part = record["pairing"] or {"pairs": ()}
    if part.get("encoders"):  # probes look at decoders
        return []
    return [
        (pair["student"], item["layer"], item.get("weight", 1.0)) for pair in part["pairs"] for item in pair["teacher"]
    ]


def pair_cka(record: Record, matrix: Sequence[Sequence[Number]]) -> Number:
    """Mean CKA of the paired layers, in [0, 1]; None without pairs or where one was not measured."""
    links = pairs(record)
    values = [(matrix[student][teacher], weight) for student, teacher, weight in links]
    if not links or not all(known(value) for value, _ in values):
        return None
    return sum(value * weight for value, weight in values if known(value)) / sum(weight for _, weight in values)


def average(values: Iterable[Number]) -> Number:
    """The mean of what was measured."""
    measured = [value for value in values if known(value)]
    return sum(measured) / len(measured) if measured else None


def table(record: Record) -> Table | None:
    """How near each student came to the teacher, inside and at its output."""
    rows = tuple(_row(record, key, probe) for key, probe in probes(record).items())
    columns = (
        Column("Model", numeric=False),
        Column("Agreement", "% of answer tokens"),
        Column("KL at the output", "nats a token"),
        Column("Logit-lens KL", "mean of layers"),
        Column("CKA", "mean of the pairs"),
    )
    note = (
        "Agreement: the share of answer tokens where student and teacher have the same first choice. Logit-lens KL: "
        "from the teacher's final distribution to what a student layer says through the student's own final norm and "
        "head. CKA: linear, of block outputs at answer tokens; with few tokens and wide states it is high for "
        "unrelated states too, so read its change."
    )
    return Table("diagnostics", "How near each student came to the teacher", columns, rows, (note,)) if rows else None


def _row(record: Record, key: str, probe: Mapping[str, Any]) -> Row:
    kl, cka = probe.get("lens_kl") or [None], probe.get("cka")
    cells = (
        units.percent(probe.get("agreement")),
        units.decimal(kl[-1]),
        units.decimal(average(kl)),
        units.decimal(pair_cka(record, cka) if cka else None),
    )
    role = next(str(model["role"]) for model in models(record) if model["key"] == key)
    return Row((Cell(label(record, key)), *map(Cell, cells)), role)


def layers(record: Record) -> Table | None:
    """Logit-lens KL of every layer of every student: the numbers of the figure."""
    found = {key: probe["lens_kl"] for key, probe in probes(record).items() if probe.get("lens_kl")}
    if not found:
        return None
    columns = (Column("Student layer"), *(Column(label(record, key), "nats a token") for key in found))
    depth = max(len(values) for values in found.values())
    rows = tuple(
        Row((Cell(str(i)), *(Cell(units.decimal(values[i]) if i < len(values) else "") for values in found.values())))
        for i in range(depth)
    )
    return Table("lens", "Logit-lens KL by layer", columns, rows)
