"""A hook of mkdocs: a link from a page to a file outside docs/ becomes the file's path in code letters.

The pages are read in the repository too, where such links lead to the code; the site holds the pages only.
"""

import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    docs = Path(config["docs_dir"]).resolve()
    return without_links_outside(markdown, docs / page.file.src_uri, docs)


def without_links_outside(markdown: str, page: Path, docs: Path) -> str:
    """`[the loop](../src/loop.py)` is `the loop (`src/loop.py`)`, or the path alone where the text says no more."""

    def written(match: re.Match[str]) -> str:
        text, link = match[1], match[2]
        target = (page.parent / link).resolve()
        if "://" in link or link.startswith("mailto:") or target.is_relative_to(docs):
            return match[0]
        path = target.relative_to(docs.parent).as_posix()
        return f"`{path}`" if text.strip("`") in path else f"{text} (`{path}`)"

    return LINK.sub(written, markdown)
