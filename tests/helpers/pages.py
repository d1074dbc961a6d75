"""Hostile text, and a page as a parser sees it."""

import base64
import hashlib
import html.parser
import re

from semalign.report.html import scripts

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>`|*_$x$\\[a](http://evil.example)\x07\n# h"
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(html.parser.HTMLParser):
    """Tags, attributes and visible text of a page; fails on a tag that is closed out of order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text += data


def assert_loads_nothing(text: str) -> None:
    """No script but our own and data, no frame, and every address is inside the page."""
    page = Page(text)
    assert_own_scripts(text)
    for tag, attributes in page.tags:
        assert tag not in {"iframe", "object", "embed", "img", "base", "form"}
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", text))
    links = {attributes["href"] for tag, attributes in page.tags if tag in {"a", "use"}}
    assert links <= {f"#{attributes.get('id')}" for _, attributes in page.tags}


def assert_own_scripts(text: str) -> None:
    """One script that runs, which is ours and the only one that the page's policy lets run; the others are data."""
    kinds = [attributes.get("type") for tag, attributes in Page(text).tags if tag == "script"]
    assert [kind for kind in kinds if kind != "application/json"] == ["module"]
    (script,) = re.findall(r'<script type="module">(.*?)</script>', text, re.DOTALL)
    assert script == scripts()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}';" in text
