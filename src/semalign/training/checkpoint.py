"""Checkpoints: all that training needs to go on bit for bit, as safetensors and JSON, written whole or not at all."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..artifacts import read_json, read_tensors, whole_folder, write_json, write_tensors
from ..errors import UserError

PARTS = ("parameters", "optimizer", "random")


def save(folder: Path, step: int, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Write `folder/checkpoint-<step>` and drop older ones."""
    with whole_folder(folder / f"checkpoint-{step}") as part:
        write_tensors(part / "parameters.safetensors", {name: p.detach().clone() for name, p in parameters.items()})
        write_tensors(part / "optimizer.safetensors", _optimizer_tensors(parameters, optimizer))
        write_tensors(part / "random.safetensors", _random_state())
        write_json(part / "state.json", {"step": step})
    for older in found(folder):
        if older != step:
            shutil.rmtree(folder / f"checkpoint-{older}")


def found(folder: Path) -> list[int]:
    """Steps of the checkpoints in a folder, in order."""
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in folder.glob("checkpoint-*"))


def restore(folder: Path, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
    """Load the last checkpoint into place and return its step; 0 where there is none."""
    steps = found(folder)
    if not steps:
        return 0
    path = folder / f"checkpoint-{steps[-1]}"
    try:
        stored, moments, random = (read_tensors(path / f"{part}.safetensors") for part in PARTS)
        step = read_json(path / "state.json")["step"]
    except (SafetensorError, OSError, UserError, KeyError) as error:
        raise UserError(f"{path}: damaged checkpoint ({error}); delete this folder to train from the start") from None
    with torch.no_grad():
        for name, value in stored.items():
            parameters[name].copy_(value)
    _restore_optimizer(moments, parameters, optimizer)
    torch.set_rng_state(random["cpu"])
    if "cuda" in random and torch.cuda.is_available():
        torch.cuda.set_rng_state(random["cuda"])
    return step


def _random_state() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _optimizer_tensors(parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}|{entry}": value.detach().clone()
        for name, parameter in parameters.items()
        for entry, value in optimizer.state[parameter].items()
    }


def _restore_optimizer(
    tensors: dict[str, Tensor], parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    for label, value in tensors.items():
        name, _, entry = label.rpartition("|")
        state: dict[str, Any] = optimizer.state[parameters[name]]
        state[entry] = value if entry == "step" else value.to(parameters[name].device)
