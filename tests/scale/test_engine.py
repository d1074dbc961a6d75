"""Starts in which each process would train alone, unseen, are refused in one line."""

import pytest
import torch
from processes import in_processes

from semalign.config import Run
from semalign.errors import UserError
from semalign.training import EngineOptions, start_engine
from semalign.training.engine import launched_processes

CPU = torch.device("cpu")


def started(options=None):
    """The engine's name and its sharding, or what the user is told."""
    try:
        engine = start_engine(CPU, options)
    except UserError as error:
        return str(error)
    return engine.name, engine.sharded, engine.about().get("processes")


def test_a_launcher_whose_processes_do_not_meet_is_refused(monkeypatch):
    start_engine(CPU)  # Accelerate looks for other processes once
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="started as one of 2 processes, but 1 found together: each would train alone"):
        start_engine(CPU)


def test_several_tasks_of_slurm_that_do_not_know_of_each_other_are_refused(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(UserError, match="srun started several tasks that do not know of each other"):
        start_engine(CPU)


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "deepspeed"])
def test_an_engine_for_several_refuses_one(name):
    said = f"engine '{name}' divides a run among processes, but this is one alone"
    with pytest.raises(UserError, match=said):
        start_engine(CPU, EngineOptions(name=name))


def test_one_process_needs_no_engine():
    assert started() == ("ddp", False, None)
    assert launched_processes({}) == 1
    assert launched_processes({"OMPI_COMM_WORLD_SIZE": "3"}) == 3


def test_a_file_of_accelerate_launch_is_followed(monkeypatch):
    assert in_processes(2, started) == [("ddp", False, 2)] * 2
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert in_processes(2, started) == [("fsdp2", True, 2)] * 2
    assert in_processes(2, started, EngineOptions(name="fsdp2")) == [("fsdp2", True, 2)] * 2
    differs = "engine: 'ddp' here, but accelerate's file says 'fsdp2'; leave one of them out"
    assert in_processes(2, _named, EngineOptions(name="ddp")) == [differs] * 2


def _named(options):
    said = started(options)
    torch.distributed.init_process_group("gloo")  # what was refused before it began
    return said


@pytest.mark.parametrize(
    ("name", "value"), [("ACCELERATE_MIXED_PRECISION", "bf16"), ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2")]
)
def test_what_a_file_of_accelerate_sets_beside_the_configuration_is_refused(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    for said in in_processes(2, started):
        assert said.startswith("accelerate's mixed precision and gradient accumulation are set, but a run takes")


def test_an_engine_is_named_in_the_configuration():
    values = {
        "name": "x",
        "teacher": "t",
        "student": "s",
        "method": "sft",
        "data": {"tasks": [{"name": "a", "folder": "f"}]},
    }
    assert Run.make({**values, "engine": "fsdp2"}).plain()["engine"] == {"name": "fsdp2"}
    assert "engine" not in Run.make(values).plain()
    with pytest.raises(UserError, match="engine"):
        Run.make({**values, "engine": "zero"})


def test_verbs_for_one_process_refuse_a_launcher(say, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = say("doctor", "any.yaml")
    assert (said.code, said.out) == (2, "")
    assert "semalign doctor is for one process, and a launcher started 2; only run and quickstart" in said.err
    monkeypatch.setenv("RANK", "1")
    assert say("doctor", "any.yaml").err.startswith("semalign: process 1: ")
