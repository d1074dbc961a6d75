"""The quickstart: every stage on the embedded pair, offline."""

from importlib.resources import files
from pathlib import Path

import torch
import yaml

from .config import Run
from .pipeline import run
from .progress import Reporter


def quickstart_config(seed: int = 0) -> Run:
    """The configuration of the quickstart, with another seed if asked for."""
    text = files("semalign").joinpath("quickstart.yaml").read_text(encoding="utf-8")
    return Run.make({**yaml.safe_load(text), "seed": seed}, "quickstart.yaml")


def quickstart(out: str | Path | None = None, *, seed: int = 0, reporter: Reporter | None = None) -> Path:
    """Run it into `out` (runs/quickstart by default) and return the folder."""
    torch.set_num_threads(1)  # models this small are faster on one thread than on two
    return run(quickstart_config(seed), out, reporter=reporter)
