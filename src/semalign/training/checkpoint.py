"""Checkpoints: all that training needs to go on bit for bit, as safetensors and JSON, with a checksum of every file.

They are written whole or not at all, and the last two are kept: a damaged one is found, and the one before it used.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from .. import ranks
from ..artifacts import key, read_json, read_tensors, remove_folder, whole_folder, write_json, write_tensors
from ..errors import UserError

PARTS = ("parameters", "optimizer", "random")
KEPT = 2


def save(
    folder: Path,
    step: int,
    parameters: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    carried: Mapping[str, Any],
) -> None:
    """Write `folder/checkpoint-<step>`, and drop all but the last two; `carried` is given back by `restore`."""
    random = {name: value for of_rank in ranks.gathered(random_state()) for name, value in of_rank.items()}
    if not ranks.is_first():
        return
    with whole_folder(folder / f"checkpoint-{step}") as part:
        write_tensors(part / "parameters.safetensors", {name: p.detach().clone() for name, p in parameters.items()})
        write_tensors(part / "optimizer.safetensors", _optimizer_tensors(parameters, optimizer))
        write_tensors(part / "random.safetensors", random)
        state = {"step": step, "carried": dict(carried), "sha256": {name: _sha256(part, name) for name in PARTS}}
        write_json(part / "state.json", {**state, "key": key(state)})
    for older in found(folder)[:-KEPT]:
        drop(folder, older)


def found(folder: Path) -> list[int]:
    """Steps of the checkpoints in a folder, in order."""
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in folder.glob("checkpoint-*"))


def drop(folder: Path, step: int) -> None:
    remove_folder(folder / f"checkpoint-{step}")


def restore(
    folder: Path,
    parameters: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    damaged: Callable[[int], None] = lambda _step: None,
) -> tuple[int, dict[str, Any]]:
    """Load the last sound checkpoint into place; its step and what it carried, or 0 and nothing where there is none.

    Those behind it are deleted, and their steps told to `damaged`. Without one, nothing is changed.
    """
    for step in reversed(found(folder)):
        held = _read(folder / f"checkpoint-{step}", step)
        if held is None:
            damaged(step)
            drop(folder, step)
            continue
        (stored, moments, random), carried = held
        with torch.no_grad():
            for name, value in stored.items():
                parameters[name].copy_(value)
        _restore_optimizer(moments, parameters, optimizer)
        set_random_state(random)
        return step, carried
    return 0, {}


def _read(path: Path, step: int) -> tuple[list[dict[str, Tensor]], dict[str, Any]] | None:
    """A checkpoint's tensors and what it carried; None where a byte is not the one that was written."""
    try:
        state = read_json(path / "state.json")
        written = state.pop("key")
        if state["step"] != step or written != key(state):
            return None
        if any(_sha256(path, name) != state["sha256"][name] for name in PARTS):
            return None
        return [read_tensors(path / f"{name}.safetensors") for name in PARTS], state["carried"]
    except (SafetensorError, OSError, UserError, KeyError, AttributeError, TypeError):
        return None


def _sha256(path: Path, name: str) -> str:
    with (path / f"{name}.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def random_state() -> dict[str, Tensor]:
    """Where the random numbers of training stand, in this process."""
    state = {_own("cpu"): torch.get_rng_state()}
    if torch.cuda.is_available():
        state[_own("cuda")] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Tensor]) -> None:
    """A process that had no part in the training before goes on with the numbers that it has."""
    if _own("cpu") in state:
        torch.set_rng_state(state[_own("cpu")])
    if _own("cuda") in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state[_own("cuda")])


def _own(device: str) -> str:
    """What this process's random numbers are stored as; alone, by the device's name."""
    return f"{device}.{ranks.rank()}" if ranks.rank() else device


def _optimizer_tensors(parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}|{entry}": value.detach().clone()
        for name, parameter in parameters.items()
        for entry, value in optimizer.state[parameter].items()
    }


def _restore_optimizer(
    tensors: dict[str, Tensor], parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    optimizer.state.clear()
    for label, value in tensors.items():
        name, _, entry = label.rpartition("|")
        state: dict[str, Any] = optimizer.state[parameters[name]]
        state[entry] = value if entry == "step" else value.to(parameters[name].device)
