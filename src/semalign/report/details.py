"""The tables behind the pictures: models, attribution, pairing, basis, training, costs, environment."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from . import units
from .record import Number, Record, known, label, models
from .tables import Cell, Column, Row, Table
from .trained_on import trained_on, whose


def pair_of_models(record: Record) -> Table | None:
    """What the two models are, where the run wrote it down."""
    sides = [(side, record[side]) for side in ("student", "teacher") if record[side]]
    if not sides:
        return None
    sizes = [name for name in ("n_layer", "width", "parameters") if any(name in facts for _, facts in sides)]
    titles = {"n_layer": "Layers", "width": "Width", "parameters": "Parameters"}
    quantized = any(facts.get("quantization") for _, facts in sides)
    columns = (
        Column("", numeric=False),
        Column("Model", numeric=False),
        *(Column(titles[name]) for name in sizes),
        *((Column("Quantization", numeric=False),) if quantized else ()),
    )
    rows = tuple(
        Row(
            (
                Cell(side),
                Cell(str(facts.get("model", ""))),
                *(Cell(units.count(facts.get(name))) for name in sizes),
                *((Cell(str(facts.get("quantization") or "none")),) if quantized else ()),
            )
        )
        for side, facts in sides
    )
    return Table("models", "The two models", columns, rows)


def attribution(record: Record) -> Table | None:
    part = record["attribution"]
    if not part:
        return None
    order = sorted(range(len(part["scores"])), key=lambda layer: -(part["scores"][layer] or 0))
    rank = {layer: str(place + 1) for place, layer in enumerate(order)}
    rows = tuple(
        Row((Cell(str(layer)), Cell(units.significant(value)), Cell(rank[layer])))
        for layer, value in enumerate(part["scores"])
    )
    return Table(
        "attribution", "Attribution of each teacher layer", (Column("Layer"), Column("Score"), Column("Rank")), rows
    )


def pairing(record: Record) -> Table | None:
    """Every pair with its reason; a student layer taught by a mixture shows each teacher layer with its weight."""
    part = record["pairing"]
    if not part:
        return None
    measured = any(known(pair.get("similarity")) for pair in part["pairs"])
    rows = tuple(
        Row(
            (
                Cell(str(pair["student"])),
                Cell(_mixture(pair["teacher"])),
                *((Cell(units.decimal(pair.get("similarity"))),) if measured else ()),
                Cell(str(pair.get("reason", ""))),
            )
        )
        for pair in part["pairs"]
    )
    columns = (
        Column("Student layer"),
        Column("Teacher layer", "weight", numeric=False),
        *((Column("CKA", "before training"),) if measured else ()),
        Column("Reason", numeric=False),
    )
    return Table(
        "pairing",
        "Every pair and its reason",
        columns,
        rows,
        ("Layers count from 0; layer i is block i; the embedding is not a layer.", *_of_encoders(part)),
    )


def _of_encoders(part: Mapping[str, Any]) -> tuple[str, ...]:
    sides = part.get("encoders") or ()
    if not sides:
        return ()
    others = "those of both encoders" if "teacher" in sides else "the student's encoder's, which follow a decoder"
    return (f"They are {others}; states are compared at the tokens of the prompt.",)


def _mixture(teacher: Iterable[Mapping[str, Any]]) -> str:
    return " + ".join(f"{item['layer']} ({units.decimal(item.get('weight', 1), 2)})" for item in teacher)


def basis(record: Record) -> Table | None:
    part = record["basis"]
    if not part:
        return None
    facts = (
        ("Tokens used", units.count(part.get("tokens_used")), _tokens_used(part.get("tokens_in_pieces"))),
        (
            "Condition number",
            units.significant(part.get("condition")),
            "of the head's Gram matrix; lower is better posed",
        ),
        (
            "Top-1 agreement",
            units.decimal(part.get("agreement_top1")),
            "share of positions, mapped last state against the teacher's own logits",
        ),
        (
            "Top-5 agreement",
            units.decimal(part.get("agreement_top5")),
            "the teacher's choice among the mapped state's first five",
        ),
        (
            "Row correlation",
            units.decimal(part.get("row_correlation")),
            "of mapped and teacher logits, 1 is the same order and spacing",
        ),
    )
    rows = tuple(Row((Cell(name), Cell(value), Cell(meaning))) for name, value, meaning in facts)
    columns = (Column("Measure", numeric=False), Column("Value"), Column("Meaning", numeric=False))
    return Table("basis", "Quality of the semantic map", columns, rows)


def _tokens_used(n_in_pieces: int | None) -> str:
    if n_in_pieces is None:
        return "tokens that both vocabularies share"
    return f"{units.count(n_in_pieces)} of them the teacher's alone, which the student has in pieces"


LAYER_MEASURES = {
    "explained_variance": Column("Explained", "share of variance"),
    "explained_scaled": Column("Explained", "at the best scale"),
    "cosine": Column("Cosine"),
    "agreement_top1": Column("Top-1 agreement"),
    "lens_top1": Column("Top-1 agreement", "logit lens"),
    "cka_before": Column("CKA", "teacher's states"),
    "cka_after": Column("CKA", "mapped states"),
}
MAP_NOTE = (
    "Mapped teacher states against the untouched student's at answer tokens that the map was not fitted on. Top-1 "
    "agreement is with the teacher's own first choice."
)


def map_layers(record: Record) -> Table | None:
    """Quality of the map at each paired student layer; only what was measured."""
    found = (record["basis"] or {}).get("layers") or []
    measures = {name: column for name, column in LAYER_MEASURES.items() if any(known(item.get(name)) for item in found)}
    if not measures:
        return None
    rows = tuple(
        Row((Cell(str(item["student"])), *(Cell(units.decimal(item.get(name))) for name in measures))) for item in found
    )
    return Table("map-layers", "The map at each pair", (Column("Student layer"), *measures.values()), rows, (MAP_NOTE,))


def curves(record: Record) -> Table | None:
    """The numbers of the basis quality figure."""
    found = (record["basis"] or {}).get("curves") or []
    if not found:
        return None
    columns = (Column("Layer"), *(Column(str(curve["label"]), str(curve.get("site", ""))) for curve in found))
    depth = max(len(curve["cosine"]) for curve in found)
    rows = tuple(
        Row((Cell(str(layer)), *(Cell(_at(curve["cosine"], layer)) for curve in found))) for layer in range(depth)
    )
    return Table("curves", "Cosine of a state with its own recomposition", columns, rows)


def _at(values: Sequence[Number], layer: int) -> str:
    return units.decimal(values[layer]) if layer < len(values) else units.MISSING


def training(record: Record) -> Table | None:
    """What each trained model cost in steps and tokens and where its loss went."""
    trained = [model for model in models(record) if model.get("steps") or record["training"].get(model["key"])]
    by_answers = any(whose(model.get("method")) != "gold" for model in trained)
    rows = tuple(_training_row(record, model, by_answers) for model in trained)
    columns = (
        Column("Model", numeric=False),
        *((Column("Trained on", numeric=False),) if by_answers else ()),
        Column("Steps"),
        Column("Tokens", "trained on"),
        Column("Supervised", "% of tokens"),
        Column("Speed", "tokens/s, median"),
        Column("Loss", "first"),
        Column("Loss", "last"),
        Column("Last terms", numeric=False),
    )
    return Table("training", "Training of each model", columns, rows) if rows else None


def _training_row(record: Record, model: Mapping[str, Any], by_answers: bool) -> Row:
    steps = record["training"].get(model["key"]) or [{}]
    losses = [step["loss"] for step in steps if known(step.get("loss"))]
    speeds = [step["tokens_per_second"] for step in steps if known(step.get("tokens_per_second"))]
    terms = ", ".join(f"{name} {units.decimal(value)}" for name, value in steps[-1].get("terms", {}).items())
    numbers = (
        units.count(model.get("steps")),
        units.count(model.get("train_tokens")),
        units.percent(_supervised_share(steps)),
        units.count(median(speeds) if speeds else None),
    )
    ends = (units.decimal(losses[0]), units.decimal(losses[-1])) if losses else (units.MISSING,) * 2
    said = (label(record, model["key"]), *((trained_on(model),) if by_answers else ()), *numbers, *ends, terms)
    return Row(tuple(map(Cell, said)), str(model["role"]))


def _supervised_share(steps: Sequence[Mapping[str, Any]]) -> Number:
    """Answer tokens among all tokens of a training, in [0, 1]."""
    counted = [step for step in steps if known(step.get("supervised")) and step.get("tokens")]
    return sum(step["supervised"] for step in counted) / sum(step["tokens"] for step in counted) if counted else None


def costs(record: Record) -> Table | None:
    rows = [
        Row(
            (
                Cell(str(item["stage"])),
                Cell(units.seconds(item.get("seconds"))),
                Cell(units.count(item.get("tokens"))),
                Cell(units.memory(item.get("peak_bytes"))),
            )
        )
        for item in record["costs"]
    ]
    if known(record["seconds"]):
        rows.append(
            Row(
                (
                    Cell("whole run"),
                    Cell(units.seconds(record["seconds"])),
                    Cell(""),
                    Cell(units.memory(record["peak_bytes"])),
                ),
                "total",
            )
        )
    columns = (Column("Stage", numeric=False), Column("Time"), Column("Tokens"), Column("Peak memory"))
    return Table("costs", "Time, tokens and memory of each stage", columns, tuple(rows)) if rows else None


def environment(record: Record) -> Table | None:
    facts = {name: value for name, value in record["environment"].items() if name != "versions"}
    facts |= record["environment"].get("versions", {})
    rows = tuple(Row((Cell(str(name)), Cell(str(value)))) for name, value in facts.items() if value is not None)
    return (
        Table("environment", "Environment", (Column("What", numeric=False), Column("Value", numeric=False)), rows)
        if rows
        else None
    )
