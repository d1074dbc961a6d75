"""The documentation builds without a warning, holds every page, and loads nothing from elsewhere."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def hook():
    spec = spec_from_file_location("docs_links", ROOT / "tools" / "docs_links.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_built(site):
    for page in DOCS.rglob("*.md"):
        path = page.relative_to(DOCS)
        name = path.parent if path.stem == "index" else path.with_suffix("")
        assert (site / name / "index.html").exists(), path


def test_nothing_is_loaded_from_elsewhere(site):
    loads = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//|<link\b[^>]*\bhref=["']?//""")
    styles = re.compile(r"""<link\b[^>]*\brel=["']?(?:stylesheet|preload|preconnect)[^>]*\bhref=["']?(?:https?:)?//""")
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not loads.search(text), page
        assert not styles.search(text), page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_every_public_name_is_in_the_api(site):
    from semalign import _WHERE

    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    for name, module in _WHERE.items():
        assert re.search(rf'id="{re.escape(module)}\.(?:\w+\.)*{name}"', text), name


def test_a_link_that_leaves_the_pages_becomes_the_path():
    written = hook().without_links_outside
    page = DOCS / "results" / "x.md"
    text = (
        "[loop](../../src/semalign/training/loop.py), [what was tried](../../LOG.md#a), [y](y.md), [z](https://z.org)"
    )
    assert written(text, page, DOCS) == (
        "`src/semalign/training/loop.py`, what was tried (`LOG.md`), [y](y.md), [z](https://z.org)"
    )
    assert written("![a](../images/a.png)", page, DOCS) == "![a](../images/a.png)"
