"""A run on a tiny pair that goes through every stage, whole and undisturbed, to compare with."""

import json
import os
import time
from collections import namedtuple
from pathlib import Path

import faulty
import pytest
from tiny_run import config_of, write_world

Whole = namedtuple("Whole", "config folder changes seconds steps")


@pytest.fixture(scope="package", autouse=True)
def _server():
    """Processes are forked from a server that finds the helpers, on one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(faulty.__file__).parent), prepend=os.pathsep)
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        yield


@pytest.fixture(scope="package")
def whole(tmp_path_factory):
    """With an adapted teacher, a control, the method, a teacher cache, and a checkpoint after every step."""
    world = write_world(tmp_path_factory.mktemp("faults"))
    config = config_of(
        world,
        tasks=("names", "colours"),
        name="faults",
        teacher={"model": "./teacher", "adapt": True},
        cache={"states": "float32"},
        training={"epochs": 2, "batch_size": 10, "learning_rate": 0.01, "checkpoint_every": 1, "lora": {"rank": 2}},
    )
    for name in ("first", "whole"):  # the first one starts the server
        began = time.monotonic()
        assert faulty.finish(config, world / name, world / f"{name}.json") == 0, (
            world / f"{name}.json.err"
        ).read_text()
    changes = json.loads((world / "whole.json").read_text())
    steps = len((world / "whole" / "train" / "sft" / "metrics.jsonl").read_text().splitlines())
    return Whole(config, world / "whole", changes, time.monotonic() - began, steps)
