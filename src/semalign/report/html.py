"""Templates as HTML: every value is escaped, only our own style sheet, scripts and drawings are not."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .sorting import sort_key

TEMPLATES = Path(__file__).parent / "templates"
NO_PICTURES = (
    "This page has no pictures because matplotlib is not installed: pip install 'semalign[report]', "
    "then write it again."
)


def templates() -> Environment:
    """An environment that escapes and refuses unknown names."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["sort_key"] = sort_key
    return found


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page with its style sheet and its scripts inside; its own policy lets no other script run."""
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    script = scripts()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    mine = {"style": style, "script": Markup(script), "policy": Markup(f"'sha256-{digest}'")}
    return templates().get_template(template).render({**values, **mine})


def scripts() -> str:
    """Our scripts as one module, each in a scope of its own."""
    parts = [path.read_text(encoding="utf-8") for path in sorted((TEMPLATES / "scripts").glob("*.js"))]
    return "\n".join(f"{{\n{part}}}" for part in parts)


def drawn(pictures: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Pictures as a template takes them: the drawing as it is, its words escaped."""
    return {name: {**vars(item), "svg": Markup(item.svg)} for name, item in (pictures or {}).items()}
