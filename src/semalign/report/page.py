"""report.html and report.md of a run folder: what they hold, in which order, written both or neither."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import artifacts
from . import answered, benchmarked, details, diagnosed, overlapping, rows, sources, stages, tables, tokenizers
from .answer import findings, question
from .card import card
from .html import NO_PICTURES, drawn, render
from .record import Record, read_record

SECTIONS = {
    "answer": "Answer",
    "results": "Results",
    "benchmarks": "Benchmarks",
    "rows": "Row by row",
    "data": "Data",
    "layers": "Layers",
    "map": "Semantic map",
    "training": "Training",
    "diagnostics": "Inside the student",
    "cost": "Cost",
    "repeat": "Repeat it",
    "sources": "Sources",
}

PAGE_BYTES = 2_900_000  # what opens at once, also from a mail or a code host


def write_report(folder: Path) -> None:
    """Read `record.json` in a run folder and write report.md and report.html beside it, both or neither."""
    record = read_record(folder)
    scored, pictures = rows.read_rows(folder, record), _pictures(record)
    what = content(record, scored)
    room = PAGE_BYTES - len(page(what, pictures).encode())
    texts = (card(what), page({**what, "rows": rows.browser(record, scored, room)}, pictures))
    with artifacts.whole_file(folder / "report.md") as markdown, artifacts.whole_file(folder / "report.html") as html:
        for path, text in zip((markdown, html), texts, strict=True):
            path.write_text(text, encoding="utf-8")


def content(record: Record, scored: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Everything that both forms of the report say; `scored` is what rows.read_rows found."""
    part = record["attribution"] or {"scores": []}
    asked = benchmarked.scores(record)
    return {
        "record": record,
        "sections": {name: title for name, title in SECTIONS.items() if asked or name != "benchmarks"},
        "question": question(record),
        "answer": findings(record),
        "scores": tables.scores(record),
        "bits": tables.bits(record),
        "differences": tables.differences(record),
        "benchmarks": asked,
        "benchmark_differences": benchmarked.differences(record),
        "changes": rows.changes(record, scored),
        "rows": None,  # its room is what the rest of the page leaves
        "data": tables.data(record),
        "answers": answered.answers(record),
        "first_answers": answered.first(record),
        "overlap": overlapping.overlap(record),
        "overlap_said": overlapping.said(record),
        "tokenizers": tokenizers.two_tokenizers(record),
        "models": details.pair_of_models(record),
        "attribution": details.attribution(record),
        "largest": max((abs(value or 0) for value in part["scores"]), default=0),
        "pairing": details.pairing(record),
        "basis": details.basis(record),
        "map_layers": details.map_layers(record),
        "curves": details.curves(record),
        "training": details.training(record),
        "balanced": stages.balanced(record),
        "diagnostics": diagnosed.table(record),
        "lens": diagnosed.layers(record),
        "costs": details.costs(record),
        "environment": details.environment(record),
        "specs": sources.method_specs(record),
        "citations": sources.citations(record),
        "provenance": sources.provenance(record),
    }


def page(what: Mapping[str, Any], pictures: Mapping[str, Any] | None) -> str:
    """The page of a report's content."""
    notice = "" if pictures is not None else NO_PICTURES
    return render("page.html.j2", {**what, "pictures": drawn(pictures), "notice": notice})


def _pictures(record: Record) -> Mapping[str, Any] | None:
    """The drawings, or None where matplotlib is missing."""
    try:
        from . import plots
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return None
    return plots.pictures(record)
