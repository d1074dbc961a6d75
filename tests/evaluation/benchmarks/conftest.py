"""The benchmark files, where they are."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def data():
    beside = Path(__file__).parents[3].parent / "shared" / "data"
    folder = Path(os.environ.get("SEMALIGN_DATA", beside))
    if not (folder / "mmlu").is_dir():
        pytest.skip("no benchmark files: set SEMALIGN_DATA to a folder laid out as docs/evaluation.md says")
    return folder
