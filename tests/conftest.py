"""Every test runs on one thread, without a network, with the shapes in signatures checked."""

import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from jaxtyping import install_import_hook

# Helper modules that tests of several folders share.
sys.path[:0] = [str(Path(__file__).parent / folder) for folder in ("helpers", "models")]
install_import_hook("semalign", "checked.checked")

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command line in a wide terminal, called with its arguments."""
    from terminal import semalign

    monkeypatch.setenv("COLUMNS", "160")
    return lambda *arguments: semalign(monkeypatch, capsys, *arguments)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory):
    """A folder with two tiny models and their tasks."""
    from tiny_run import write_world

    return write_world(tmp_path_factory.mktemp("world"))
