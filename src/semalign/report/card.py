"""report.md: the whole report as one Markdown card, without pictures, for code hosts and terminals."""

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from .html import templates

BAR = 24  # letters of the longest bar


def card(content: Mapping[str, Any]) -> str:
    """The card of a report's content; every value is escaped for HTML, and through `|line` for Markdown too."""
    environment = templates()
    environment.filters.update(line=line, fence=fence, bar=bar)
    text = environment.get_template("card.md.j2").render(content)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def line(text: object) -> Markup:
    """One line that Markdown shows letter by letter: no tags, links, emphasis or table cells of its own."""
    flat = " ".join(str(text).split())
    flat = re.sub(r"([\\`*\[\]|~])", r"\\\1", flat)
    flat = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", flat)
    plain = str(escape(flat)).replace("&#39;", "'").replace("&#34;", '"')
    return Markup(re.sub(r"^(\d*)([#+=.)-])(?=[\s#=-]|$)", r"\1\\\2", plain))  # no heading, list or rule


def fence(text: str, language: str = "") -> Markup:
    """A code block that its content cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return Markup(f"{marks}{language}\n{text.rstrip()}\n{marks}")


def bar(value: float | int | None, longest: float | int) -> str:
    """A number in [0, longest] as a bar of block letters."""
    return "█" * round(BAR * abs(value or 0) / longest) if longest else ""
