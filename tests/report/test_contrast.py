"""Words on the page stand out from what is behind them: WCAG 2.2 AA, 4.5 to 1, in light and in dark."""

import re

import pytest

from semalign.report.html import TEMPLATES

STYLE = (TEMPLATES / "style.css").read_text(encoding="utf-8")
BLOCKS = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
LIGHT, DARK = (dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in BLOCKS)
BEHIND = ("paper", "raised", "helps", "hurts", "warn")
WORDS = [(words, behind) for words in ("ink", "muted", "link", "blue") for behind in BEHIND]
CURVES = [(curve, "paper") for curve in ("amber", "green", "purple", "rust", "sky")]


def _luminance(colour: str) -> float:
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("words", "behind"), [*WORDS, *CURVES, ("paper", "link")])
def test_words_and_curves_stand_out(colours: dict[str, str], words: str, behind: str) -> None:
    low, high = sorted(_luminance(colours[name]) for name in (words, behind))
    assert (high + 0.05) / (low + 0.05) >= 4.5
