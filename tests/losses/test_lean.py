"""The benchmark of losses in small, with wide margins: chunks take less memory, and no more time, than all at once."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_chunks_take_less_memory_and_no_more_time_than_the_plain_loss(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    sys.modules.pop("losses", None)
    from losses import measured

    found = measured(32768, (64, 96), rounds=3)
    assert found["memory"] < 0.6  # three chunks
    assert found["time"]["ratio"] < 1.6
