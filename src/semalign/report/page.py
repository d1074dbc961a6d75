"""report.html and report.md of a run folder: what they hold, in which order, written both or neither."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .. import artifacts
from . import details, sources, tables
from .answer import findings, question
from .card import TEMPLATES, card
from .record import Record, read_record

NO_PICTURES = (
    "This report has no pictures because matplotlib is not installed: pip install 'semalign[report]', "
    "then write the report again."
)
SECTIONS = {
    "answer": "Answer",
    "results": "Results",
    "data": "Data",
    "layers": "Layers",
    "map": "Semantic map",
    "training": "Training",
    "cost": "Cost",
    "repeat": "Repeat it",
    "sources": "Sources",
}


def write_report(folder: Path) -> None:
    """Read `record.json` in a run folder and write report.md and report.html beside it, both or neither."""
    record = read_record(folder)
    what = content(record)
    texts = (card(what), page(what, _pictures(record)))
    with artifacts.whole_file(folder / "report.md") as markdown, artifacts.whole_file(folder / "report.html") as html:
        for path, text in zip((markdown, html), texts, strict=True):
            path.write_text(text, encoding="utf-8")


def content(record: Record) -> dict[str, Any]:
    """Everything that both forms of the report say."""
    part = record["attribution"] or {"scores": []}
    return {
        "record": record,
        "sections": SECTIONS,
        "question": question(record),
        "answer": findings(record),
        "scores": tables.scores(record),
        "bits": tables.bits(record),
        "differences": tables.differences(record),
        "data": tables.data(record),
        "models": details.pair_of_models(record),
        "attribution": details.attribution(record),
        "largest": max((abs(value or 0) for value in part["scores"]), default=0),
        "pairing": details.pairing(record),
        "basis": details.basis(record),
        "curves": details.curves(record),
        "training": details.training(record),
        "costs": details.costs(record),
        "environment": details.environment(record),
        "specs": sources.method_specs(record),
        "citations": sources.citations(record),
        "provenance": sources.PROVENANCE,
    }


def page(what: Mapping[str, Any], pictures: Mapping[str, Any] | None) -> str:
    """The page of a report's content; every value is escaped, only our own style sheet and our own drawings are not."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    drawn = {name: {**vars(item), "svg": Markup(item.svg)} for name, item in (pictures or {}).items()}
    notice = "" if pictures is not None else NO_PICTURES
    return environment.get_template("page.html.j2").render(
        {**what, "style": style, "pictures": drawn, "notice": notice}
    )


def _pictures(record: Record) -> Mapping[str, Any] | None:
    """The drawings, or None where matplotlib is missing."""
    try:
        from . import plots
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return None
    return plots.pictures(record)
