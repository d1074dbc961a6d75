"""Hostile names, rows and generations in a report: in a real browser nothing of them runs, and nothing is fetched."""

import json
from pathlib import Path

import pytest
from answered import write_answers
from chrome import BROWSER, Chrome

from semalign.report import write_report

RECORD = Path(__file__).parents[1] / "report" / "record.json"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine, so the page is not rendered"),
]
OWN = "window.owned=1"
HOSTILE = [
    f"<script>{OWN}</script>",
    f'"><img src=x onerror="{OWN}">',
    f"'-{OWN}-'",
    f"</script><script>{OWN}</script>",
    f"</style><svg onload={OWN}>",
    f"<!--<script>{OWN}",
    f"javascript:{OWN}",
    "<iframe src=https://evil.example></iframe><base href=https://evil.example>",
    "\u202e\u2028\x07]]>&lt;b&gt;",
]


def spoiled(text):
    """A record in which every name and note is hostile."""
    record = json.loads(text.replace("facts", json.dumps("facts" + HOSTILE[0])[1:-1]))
    record |= {name: "".join(HOSTILE) for name in ("name", "config", "command")}
    record |= {"warnings": HOSTILE, "notes": HOSTILE}
    for side in ("student", "teacher"):
        record[side] = {**(record.get(side) or {}), "model": "".join(HOSTILE)}
    for model, words in zip(record["models"], HOSTILE, strict=False):
        model["label"] = words
    record["environment"] = {key: HOSTILE[1] if isinstance(x, str) else x for key, x in record["environment"].items()}
    return record


def test_hostile_names_and_generations_are_inert(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps(spoiled(RECORD.read_text("utf-8"))))
    write_answers(tmp_path, tasks=("strings",), words="".join(HOSTILE))
    write_report(tmp_path)
    with Chrome(tmp_path / "profile") as page:
        page.open(tmp_path / "report.html")
        assert page.ask("document.body.textContent").count("window.owned=1") > 20
        assert page.ask("typeof window.owned") == "undefined"
        kinds = "img, iframe, object, embed, base, form, [onload], [onerror], a[href^='javascript:']"
        assert page.ask(f"document.querySelectorAll({json.dumps(kinds)}).length") == 0
        assert page.ask("performance.getEntriesByType('resource').length") == 0
        page.ask("document.querySelectorAll('button, summary').forEach(each => each.click())")
        assert page.ask("typeof window.owned") == "undefined"
        assert page.complaints == []
