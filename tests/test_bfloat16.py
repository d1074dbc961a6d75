"""Runs in bfloat16: models and activations are, what is summed or optimised is not."""

import json

import pytest
import torch
from tiny_run import config_of, write_world

from semalign.artifacts import read_tensors
from semalign.pipeline import run

METHODS = {
    "semalign": {"name": "semalign", "outputs": ["cross_entropy", "kl"], "loss": {"name": "cosine", "weight": 0.1}},
    "geometry": {"name": "semalign", "loss": "geometry", "outputs": ["cross_entropy"], "basis": "ridge"},
    "logit_kd": "logit_kd",
    "hidden_kd": "hidden_kd",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = write_world(tmp_path_factory.mktemp("world"))
    controls = {name: method for name, method in METHODS.items() if name != "semalign"} | {"sft": "sft"}
    made = {}
    for dtype in ("float32", "bfloat16"):
        models = {side: {"model": f"./{side}", "dtype": dtype} for side in ("teacher", "student")}
        config = config_of(folder, name=dtype, method=METHODS["semalign"], controls=controls, **models)
        made[dtype] = run(config, folder / "out" / dtype)
    return made


@pytest.mark.parametrize("method", [*METHODS, "sft"])
def test_losses_in_bfloat16_are_those_of_float32_to_its_precision(folders, method):
    exact, rounded = (
        [step["loss"] for step in json.loads((folders[d] / f"train/{method}/history.json").read_text())["entries"]]
        for d in ("float32", "bfloat16")
    )
    assert len(exact) == len(rounded) > 1
    assert rounded == pytest.approx(exact, rel=0.02)
    assert rounded != exact


def test_adapters_are_trained_in_float32_and_the_model_stays_bfloat16(folders):
    adapter = read_tensors(folders["bfloat16"] / "adapter/adapter_model.safetensors")
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float32}
    student = read_tensors(folders["bfloat16"] / "student/model.safetensors")
    assert {tensor.dtype for tensor in student.values()} == {torch.bfloat16}
