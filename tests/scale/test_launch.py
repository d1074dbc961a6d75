"""Real launchers start a run: torchrun two processes that meet, `accelerate launch --cpu` one that is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_run import config_of

TRAINING = {"epochs": 1, "batch_size": 10, "lora": {"rank": 2}}


def launch(*arguments):
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )


@pytest.mark.slow
def test_torchrun_starts_a_run_of_two_processes(world, tmp_path):
    config = config_of(world, name="launched", training=TRAINING, tasks=("colours",), controls=[])
    start = ("torch.distributed.run", "--nproc_per_node", 2, "--standalone")
    done = launch(*start, "-m", "semalign", "run", config, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "environment.json").read_text("utf-8"))["processes"] == 2
    assert (tmp_path / "run" / "record.json").exists()


@pytest.mark.slow
def test_accelerate_launch_that_starts_one_process_is_refused(world, tmp_path):
    config = config_of(world, name="one", training=TRAINING, engine="ddp", tasks=("colours",), controls=[])
    start = ("accelerate.commands.launch", "--cpu", "--num_processes", 2)
    done = launch(*start, "-m", "semalign", "run", config, "--out", tmp_path / "run")
    assert done.returncode != 0
    assert "engine 'ddp' divides a run among processes, but this is one alone; start with 'torchrun" in done.stderr
    assert not Path(tmp_path / "run").exists()
