"""Pickles are never opened: a planted one is refused or passed over wherever files are read, and does not run."""

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from tiny_run import write_model

from semalign.artifacts import read_json, read_tensors
from semalign.cache.shards import Shards
from semalign.data.jsonl import read_jsonl
from semalign.errors import UserError
from semalign.methods.base import Plan
from semalign.models import load, load_adapter, lora, save_adapter
from semalign.training import checkpoint


class Evil:
    """Unpickling it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.fixture
def plant(tmp_path):
    """Write a pickle that makes a file where it is opened; the file must not be there in the end."""
    marker = tmp_path / "marker"

    def write(path, *, by_torch=False):
        if by_torch:
            torch.save(Evil(marker), path)
        else:
            path.write_bytes(pickle.dumps(Evil(marker)))

    yield write
    assert not marker.exists()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "student"
    write_model(folder, n_layer=2, width=8)
    return folder


@pytest.fixture
def folder(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "student")


def test_the_pickle_is_a_real_one(tmp_path):
    path = tmp_path / "x.bin"
    torch.save(Evil(tmp_path / "made"), path)
    torch.load(path, weights_only=False)
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth"])
@pytest.mark.parametrize("by_torch", [False, True])
def test_a_model_of_pickled_weights_is_refused(name, by_torch, folder, plant):
    (folder / "model.safetensors").unlink()
    plant(folder / name, by_torch=by_torch)
    with pytest.raises(UserError, match=f"only pickled weights \\({name}\\); convert to safetensors"):
        load(str(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "optimizer.pt", "training_args.bin", "adapter_model.bin"])
def test_a_pickle_beside_the_weights_is_passed_over(name, folder, plant):
    plant(folder / name, by_torch=True)
    assert load(str(folder)).n_layer == 2


def test_a_pickle_under_the_name_of_safetensors_is_refused(folder, plant):
    plant(folder / "model.safetensors")
    with pytest.raises(UserError, match="corrupt or truncated safetensors"):
        load(str(folder))


def test_an_adapter_of_pickled_weights_is_refused(folder, tmp_path, plant):
    model = load(str(folder))
    save_adapter(lora(model, [0], rank=2), tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    plant(tmp_path / "adapter" / "adapter_model.bin", by_torch=True)
    with pytest.raises(UserError, match=r"has no adapter_model\.safetensors"):
        load_adapter(load(str(folder)), tmp_path / "adapter")


@pytest.mark.parametrize("name", ["parameters.safetensors", "optimizer.safetensors", "state.json", "optimizer.pt"])
def test_a_checkpoint_with_a_pickle_in_it_is_dropped_or_it_is_passed_over(name, tmp_path, plant):
    parameters = {"w": torch.nn.Parameter(torch.ones(2))}
    optimizer = torch.optim.AdamW(parameters.values())
    parameters["w"].sum().backward()
    optimizer.step()
    checkpoint.save(tmp_path, 3, parameters, optimizer, {})
    plant(tmp_path / "checkpoint-3" / name, by_torch=True)
    step, _ = checkpoint.restore(tmp_path, parameters, optimizer)
    assert step == (3 if name == "optimizer.pt" else 0)


def test_a_shard_of_a_cache_that_is_a_pickle_is_found(tmp_path, plant):
    plant(tmp_path / "0123456789abcdef.safetensors")
    assert Shards(tmp_path).unreadable == [tmp_path / "0123456789abcdef.safetensors"]


def test_a_plan_with_a_pickle_for_its_maps_is_refused(tmp_path, plant):
    (tmp_path / "plan.json").write_text('{"maps": [{}], "layers": [], "pairs": [], "scores": null, "map_of": {}}')
    plant(tmp_path / "maps.safetensors")
    with pytest.raises(UserError, match="damaged, or no safetensors"):
        Plan.load(tmp_path)


@pytest.mark.parametrize("read", [read_json, read_tensors, read_jsonl], ids=lambda read: read.__name__)
@pytest.mark.parametrize("name", ["rows.npy", "rows.pkl"])
def test_rows_and_records_that_are_pickles_are_refused(read, name, tmp_path: Path, plant):
    plant(tmp_path / name)
    with pytest.raises(UserError):
        read(tmp_path / name)
