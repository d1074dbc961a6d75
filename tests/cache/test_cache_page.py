"""docs/cache.md is true: its Python runs, and the student then follows what the teacher said."""

import re
from pathlib import Path

import pytest
import torch

from semalign.data import collate, padding_token

PAGE = (Path(__file__).parents[2] / "docs" / "cache.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    made = {}
    exec(compile(example, "cache.md", "exec"), made)
    step, loaded, cache = made["step"], made["loaded"], made["cache"]
    rows = loaded.rows.split("train")
    assert len(rows) == 16
    assert cache.missing(rows) == []
    batch = collate(rows[:4], padding_token(loaded.student.tokenizer))
    step.eval()
    step.enter(0)
    with torch.no_grad():
        followed = step(batch, step.units(batch))[0]
        step.signals = cache.online
        online = step(batch, step.units(batch))[0]
    assert float(followed) == pytest.approx(float(online), rel=2e-3)  # int8, as docs/cache.md measures it
    assert float(followed) != float(online)
