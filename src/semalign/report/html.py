"""Templates as HTML: every value is escaped, only our own style sheet and our own drawings are not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
NO_PICTURES = (
    "This page has no pictures because matplotlib is not installed: pip install 'semalign[report]', "
    "then write it again."
)


def templates() -> Environment:
    """An environment that escapes and refuses unknown names."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page with its style sheet inside."""
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return templates().get_template(template).render({**values, "style": style})


def drawn(pictures: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Pictures as a template takes them: the drawing as it is, its words escaped."""
    return {name: {**vars(item), "svg": Markup(item.svg)} for name, item in (pictures or {}).items()}
