"""DeepSpeed's ZeRO divides the optimiser's state, and the training is that of one process."""

import importlib.util
import json

import pytest
import torch
from pair import STUDENT, TEACHER, adapted_step, make_context, make_model
from processes import in_processes
from scaled import OPTIONS, measured, trained
from tiny_run import config_of

from semalign.config import Run
from semalign.errors import UserError
from semalign.methods.hidden_kd import HiddenKD
from semalign.methods.semalign import SemAlign
from semalign.pipeline import run
from semalign.prepare import check_engine
from semalign.progress import Reporter
from semalign.training import EngineOptions, checkpoint, engine, start_engine

needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed here: make test-deepspeed"
)
CPU = torch.device("cpu")
# models are float32, as DeepSpeed is, and Adam divides a gradient by its size: near 0 its last bits show in a weight
LOSS, WEIGHT = {"abs": 1e-6}, {"rtol": 0, "atol": 5e-5}


def in_float32():
    models = (make_model(**sizes, dtype=torch.float32) for sizes in (TEACHER, STUDENT))
    return make_context(**dict(zip(("teacher", "student"), models, strict=True)))


def alone(folder, *arguments, **changes):
    return trained(folder, *arguments, context=in_float32(), **changes)


def divided(folder, stage, *arguments, **changes):
    started = start_engine(CPU, EngineOptions(name="deepspeed", stage=stage))
    return trained(folder, *arguments, context=in_float32(), engine=started, **changes)


def assert_close(found, one):
    for entry, of_one in zip(measured(found[0]), measured(one[0]), strict=True):
        assert entry == pytest.approx(of_one, **LOSS)
    for name, weight in one[1].items():
        torch.testing.assert_close(found[1][name], weight, **WEIGHT)


@needs_deepspeed
@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "micro", "method"),
    [(1, 2, SemAlign()), (2, 2, SemAlign()), (2, None, HiddenKD())],
    ids=["ZeRO 1", "ZeRO 2", "projectors"],
)
def test_two_processes_train_as_one(stage, micro, method, tmp_path):
    options = OPTIONS.model_copy(update={"micro_batch_size": micro, "gradient_clip": 0.01, "weight_decay": 0.1})
    one = alone(tmp_path / "one", method, options)
    assert all(entry["grad_norm"] > options.gradient_clip for entry in one[0])
    for found in in_processes(2, divided, tmp_path / "two", stage, method, options):
        assert_close(found, one)


@needs_deepspeed
@pytest.mark.slow
def test_a_stopped_training_goes_on_with_another_number_of_processes(tmp_path):
    folder, one = tmp_path / "stopped", alone(tmp_path / "one")
    alone(folder, stop_at=1)
    in_processes(2, divided, folder, None, stop_at=3)
    assert checkpoint.found(folder)[-1] == 3
    assert_close(alone(folder), one)


def held():
    """Numbers of the optimiser's state that this process holds, and of the weights that it trains."""
    started = start_engine(CPU, EngineOptions(name="deepspeed"))
    _, _, step = adapted_step(SemAlign(), in_float32())
    parameters = [p for p in step.parameters() if p.requires_grad]
    n_trained = sum(p.numel() for p in parameters)
    _, optimizer = started.prepare(step, torch.optim.AdamW(parameters))
    state = optimizer.engine.optimizer.optimizer.state.values()
    return sum(value.numel() for of_part in state for value in of_part.values() if value.dim()), n_trained


@needs_deepspeed
@pytest.mark.slow
def test_a_process_holds_its_part_of_the_moments():
    for n_held, n_trained in in_processes(2, held):
        assert n_held == pytest.approx(n_trained, abs=8)  # half of two moments; parts are padded to be equal


@needs_deepspeed
@pytest.mark.slow
def test_a_whole_run_is_that_of_one_process(world, tmp_path):
    options = {"epochs": 2, "batch_size": 9, "learning_rate": 0.01, "lora": {"rank": 2, "dropout": 0.0}}
    given = {"training": options, "tasks": ("colours",), "controls": []}
    one = started(config_of(world, name="alone", **given), tmp_path / "one")
    found = in_processes(2, started, config_of(world, name="zero", engine="deepspeed", **given), tmp_path / "two")
    assert found[0] == found[1]
    assert [name for name, _ in found[0]] == [name for name, _ in one]
    for (_, losses), (_, losses_of_one) in zip(found[0], one, strict=True):
        assert losses == pytest.approx(losses_of_one, **LOSS)


def started(config, folder):
    """The files of a run, and the losses in them."""
    run(config, folder, reporter=Reporter(quiet=True), pages=False)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder)), _losses(path)) for path in files]


def _losses(path):
    lines = path.read_text("utf-8").splitlines() if path.name == "metrics.jsonl" else []
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": {"on_trouble": "skip"}}, "training.on_trouble: engine 'deepspeed' cannot throw gradients away"),
        (
            {"method": {"name": "semalign", "pairing": "depth", "schedule": "frontier", "site": "block_out"}},
            "method 'semalign': schedule 'frontier' trains some layers at a time, and engine 'deepspeed' all that",
        ),
    ],
)
def test_what_an_optimiser_in_parts_cannot_do_is_refused(changes, said, world):
    with pytest.raises(UserError) as refused:
        check_engine(Run.read(config_of(world, name="refused", **changes)), "deepspeed")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "deepspeed", "stage": 3}, "DeepSpeed's stage 3 divides weights, and losses read the head outside"),
        ({"name": "ddp", "stage": 1}, "'stage' is of engine 'deepspeed', and this is 'ddp'; leave it out"),
    ],
)
def test_a_stage_that_is_not_there_is_refused(options, said, world):
    with pytest.raises(UserError, match=said):
        Run.read(config_of(world, name="stage", engine=options))


def asked_for(monkeypatch, options=None, **environment):
    """What a process that knows of another is told."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(engine, "find_spec", lambda _name: None)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as refused:
        start_engine(CPU, options)
    return str(refused.value)


MISSING = "engine 'deepspeed' needs the package deepspeed: pip install 'semalign[deepspeed]'"


@pytest.mark.parametrize(
    ("zero", "said"),
    [
        ({}, MISSING),
        ({"ACCELERATE_DEEPSPEED_ZERO_STAGE": "1"}, MISSING),
        ({"ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, "accelerate's file: DeepSpeed's stage 3 divides weights"),
        ({"ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu"}, "of DeepSpeed only 'zero_stage' 1 or 2 is there"),
        ({"ACCELERATE_DEEPSPEED_CONFIG_FILE": "zero.json"}, "of DeepSpeed only 'zero_stage' 1 or 2 is there"),
    ],
)
def test_a_file_of_accelerate_launch_is_followed_or_refused(zero, said, monkeypatch):
    assert said in asked_for(monkeypatch, ACCELERATE_USE_DEEPSPEED="true", **zero)


def test_a_missing_package_and_another_engine_are_said(monkeypatch):
    assert asked_for(monkeypatch, EngineOptions(name="deepspeed")) == MISSING
    differs = "engine: 'deepspeed' with stage 1 here, but accelerate's file says 'deepspeed'; leave one of them out"
    given = EngineOptions(name="deepspeed", stage=1)
    assert asked_for(monkeypatch, given, ACCELERATE_USE_DEEPSPEED="true") == differs
