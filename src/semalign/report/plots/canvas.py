"""Drawing surface: matplotlib figures as SVG text that takes its colours and its font from the page it is put into."""

import contextlib
import html
import io
import re
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .readings import name_lines, readings

WIDTH = 9.6  # inches; 100 CSS pixels each, the text column of the page
INK, MUTED, GRID, PAPER = "#1b1f24", "#5b6571", "#dde2e8", "#fefefe"
# Okabe and Ito's colour-blind-safe hues, darkened to a contrast of 4.5 on white; style.css has their lighter twins.
BLUE, AMBER, GREEN, PURPLE, RUST, SKY = "#0068a8", "#9a6200", "#00755a", "#a0447a", "#b84300", "#3a7896"
SERIES = (BLUE, AMBER, GREEN, PURPLE, RUST, SKY)
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))  # so that a line is never told by its colour alone
ROLE = {"before": MUTED, "control": AMBER, "method": BLUE, "teacher": GREEN}
MARKER = {"before": "o", "control": "s", "method": "D", "teacher": "^"}

_VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper", BLUE: "--blue", AMBER: "--amber",
    GREEN: "--green", PURPLE: "--purple", RUST: "--rust", SKY: "--sky",
}  # fmt: skip
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "semalign", "text.parse_math": False, "text.color": INK, "font.size": 9.5,
    "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.labelsize": 9.5,
    "axes.labelcolor": INK, "axes.edgecolor": MUTED, "axes.linewidth": 0.8, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "axes.facecolor": "none",
    "grid.color": GRID, "grid.linewidth": 0.8, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "legend.frameon": True, "legend.facecolor": PAPER,
    "legend.edgecolor": "none", "legend.framealpha": 0.85, "legend.fontsize": 9, "lines.linewidth": 1.8,
    "figure.facecolor": "none", "figure.constrained_layout.use": True, "figure.constrained_layout.w_pad": 0.07,
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One figure: inline SVG (its label holds the values for who cannot see it), its title, and how to read it."""

    name: str
    title: str
    caption: str
    svg: str
    panels: list[dict[str, Any]] = field(default_factory=list)
    """What the page reads off it; see readings."""


@contextlib.contextmanager
def style() -> Iterator[None]:
    """matplotlib's settings for the drawings of a report; fonts that lack a letter are the reader's, so no warning."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        yield


def panels(
    count: int, height: float, columns: int, *, width: float = WIDTH, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, at most `columns` in a row, each `height` inches high."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(width, rows * height))
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for empty in axes[count:]:
        empty.remove()
    return figure, axes[:count]


def plain(text: object, limit: int = 32) -> str:
    """A name as one short printable line; matplotlib hides labels that begin with an underscore, hence the space."""
    clean = "".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in str(text))
    clean = clean if len(clean) <= limit else f"{clean[: limit - 1]}…"
    return f" {clean}" if clean.startswith("_") else clean


def picture(name: str, title: str, caption: str, values: str, figure: Figure) -> Picture:
    """The figure as SVG to be put into a page: ids of its own, no fixed size, colours by variable."""
    name_lines(figure)
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    words = html.escape(f"{title}. {caption} {values}".strip())
    size = f'style="max-width: {figure.get_figwidth() * 100:.0f}px"'
    box, body = _inline(buffer.getvalue(), name)
    svg = f'<svg {box} {size} role="img" aria-label="{words}">{body}'
    return Picture(name, title, caption, svg, readings(figure, name))


def _inline(document: str, name: str) -> tuple[str, str]:
    """View box and content. matplotlib escapes <, > and & in names, and rewriting attributes cannot bring them back."""
    found = re.search(r'<svg[^>]*(viewBox="[^"]*")[^>]*>(.*</svg>)', document, re.DOTALL)
    assert found is not None
    box, body = found.groups()
    body = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = (
        body.replace(' id="', f' id="{name}-')
        .replace('xlink:href="#', f'href="#{name}-')
        .replace("url(#", f"url(#{name}-")
    )
    body = re.sub(r'font-family: [^;"]*;? ?', "", body)
    for colour, variable in _VARIABLES.items():
        body = re.sub(f'(?<=: ){colour}(?=[;"])', f"var({variable})", body)
    return box, re.sub(r"\n *", " ", body)
