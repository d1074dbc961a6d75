"""Whole runs by several processes: the same plans, curves and scores as by one, in a folder that one of them writes."""

import json
import time

import pytest
import torch
from processes import in_processes
from tiny_run import config_of

from semalign import ranks
from semalign.artifacts import write_json
from semalign.errors import UserError
from semalign.pipeline import run
from semalign.progress import Reporter
from semalign.run_folder import RunFolder
from semalign.training import start_engine

CPU = torch.device("cpu")

TRAINING = {"epochs": 2, "batch_size": 9, "learning_rate": 0.01, "lora": {"rank": 2, "dropout": 0.0}}
QUIET = Reporter(quiet=True)


def start(config, out, **changes):
    """The folder, or what the user is told."""
    try:
        return run(config, out, reporter=QUIET, pages=False, **changes)
    except UserError as error:
        return str(error)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def read(path):
    return json.loads(path.read_text("utf-8"))


def losses(folder, name="semalign"):
    lines = (folder / "train" / name / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.fixture(scope="module")
def configs(world):
    cached = {"cache": {"states": "float32"}}
    tasks = {"tasks": ("sums", "colours"), "controls": []}
    return {
        "ddp": config_of(world, name="whole", training=TRAINING, **tasks),
        "fsdp2": config_of(world, name="divided", training=TRAINING, engine="fsdp2", **tasks),
        "cached": config_of(world, name="cached", training=TRAINING, **cached, **tasks),
        "cached fsdp2": config_of(world, name="divided-cached", training=TRAINING, engine="fsdp2", **cached, **tasks),
    }


@pytest.fixture(scope="module")
def alone(configs, tmp_path_factory):
    return start(configs["ddp"], tmp_path_factory.mktemp("alone") / "run")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ddp", "fsdp2"])
def test_two_processes_make_the_run_of_one(engine, configs, alone, tmp_path):
    found = in_processes(2, start, configs[engine], tmp_path / "run")
    assert found == [tmp_path / "run"] * 2
    assert files(found[0]) == files(alone)
    assert losses(found[0]) == pytest.approx(losses(alone), abs=1e-6)
    plan, plan_of_one = (read(folder / "prepare" / "semalign" / "plan.json") for folder in (found[0], alone))
    assert plan["pairs"] == plan_of_one["pairs"]
    assert plan["scores"] == pytest.approx(plan_of_one["scores"], rel=1e-5)
    for path in sorted((alone / "eval").rglob("*.json")):
        score, score_of_one = read(found[0] / path.relative_to(alone)), read(path)
        assert score["ids"] == score_of_one["ids"]
        assert score["outcomes"] == score_of_one["outcomes"]
        assert score["row_bits"] == pytest.approx(score_of_one["row_bits"], abs=1e-4)
    assert read(found[0] / "environment.json")["processes"] == 2
    costs, of_one = (read(folder / "stages.json") for folder in (found[0], alone))
    read_by = {name: (cost["teacher_tokens"], of_one[name]["teacher_tokens"]) for name, cost in costs.items()}
    assert len(set(read_by["prepare semalign"])) == 1
    both, one = read_by["train semalign"]
    assert one <= both < 1.2 * one, "that of all; each reads what the terms' gradients are measured on, once"


@pytest.mark.slow
@pytest.mark.parametrize("which", ["cached", "cached fsdp2"])
def test_each_process_caches_its_share_and_follows_all_of_it(which, configs, alone, tmp_path):
    found = in_processes(2, start, configs[which], tmp_path / "run")
    assert losses(found[0]) == pytest.approx(losses(alone), abs=1e-6)
    assert read(found[0] / "train" / "semalign" / "cache.json")["rows"] == 40


@pytest.mark.slow
def test_a_finished_part_is_not_done_again_by_any_number_of_processes(configs, tmp_path):
    folder = in_processes(2, start, configs["ddp"], tmp_path / "run")[0]
    before = {name: (folder / name).stat().st_mtime_ns for name in files(folder) if name.startswith("eval")}
    assert start(configs["ddp"], folder) == folder
    assert before == {name: (folder / name).stat().st_mtime_ns for name in before}


def test_what_the_first_process_refuses_all_refuse(configs, tmp_path):
    (tmp_path / "other").write_text("not a run", encoding="utf-8")
    first, second = in_processes(2, start, configs["ddp"], tmp_path)
    assert first == second
    assert "holds no run" in first
    assert files(tmp_path) == {"other"}


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"name": "laten"}, "method 'laten' reads weights one by one, and engine 'fsdp2' divides them"),
        ({"name": "semalign", "pairing": "depth", "schedule": "frontier", "site": "block_out"}, "set 'cache: false'"),
    ],
)
def test_what_cannot_be_divided_is_refused(method, said, world, tmp_path):
    config = config_of(world, name="refused", training=TRAINING, engine="fsdp2", method=method, controls=[])
    first, second = in_processes(2, start, config, tmp_path / "run")
    assert said in first == second
    assert not (tmp_path / "run").exists()


def ended_late(folder):
    """Whether the last file of a run is there for a process whose part is done before it is written."""
    start_engine(CPU)
    with RunFolder.hold(folder, {"name": "late"}) as held:
        if ranks.is_first():
            time.sleep(1)
            write_json(held / "last.json", {})
    return (folder / "last.json").exists()


def test_no_process_goes_on_before_the_folder_is_whole(tmp_path):
    assert in_processes(2, ended_late, tmp_path / "run") == [True, True]


def test_an_engine_for_several_processes_refuses_to_run_alone(configs, tmp_path):
    said = start(configs["fsdp2"], tmp_path / "run")
    assert said.startswith("engine 'fsdp2' divides a run among processes, but this is one alone; start with 'torchrun")
    assert not (tmp_path / "run").exists()
