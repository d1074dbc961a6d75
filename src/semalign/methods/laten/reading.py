"""What a model does at the last position of a locating row: the states, and how strongly each neuron speaks."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...losses.base import upcast
from ...models import FINAL, Point, Site, states_of
from .lens import FixedLens
from .places import KINDS, WRITES, Kind, Places
from .rows import LocatingRow

Sources = Literal["last", "all"]
ADDS: dict[Kind, Site] = {"attention": "attn_out", "ffn": "mlp_out"}


@dataclass(frozen=True, eq=False)
class Reading:
    """A row read by a model, at its last position."""

    target: int
    scale: Float[Tensor, ""]
    """What the final norm multiplied the last state by."""
    before: dict[Kind, Float[Tensor, "n_layer d"]]
    """The stream before each attention, and before each FFN."""
    after: dict[Kind, Float[Tensor, "n_layer d"]]
    coefficients: dict[Kind, Float[Tensor, "n_layer n_neuron"]]
    """What each neuron's column is multiplied by before it is added to the stream."""


@torch.no_grad()
def read_row(places: Places, lens: FixedLens, row: LocatingRow, sources: Sources) -> Reading:
    """One forward of the row alone. An attention neuron speaks through the values of the last position, or of all.

    For the last position alone each attention runs once more with the other positions' values at 0: so its weights
    are the model's own, whatever kernel computes them.
    """
    model = places.model
    layers = range(model.n_layer)
    ids = torch.tensor([row.input_ids], device=model.device)
    points = [Point(site, layer) for site in ADDS.values() for layer in layers]
    last = Point("block_out", model.n_layer - 1)
    with _entered(places) as seen:
        states = states_of(model, [*points, last, FINAL], ids, torch.ones_like(ids))
        spoken = {kind: [seen[kind, layer] for layer in layers] for kind in KINDS}
        if sources == "last":
            spoken["attention"] = [_own_values(places, layer, seen) for layer in layers]
    at = {point: upcast(state[0, -1]) for point, state in states.items()}
    entry = torch.stack([upcast(seen["block", layer]) for layer in layers])
    added = {kind: torch.stack([at[Point(site, layer)] for layer in layers]) for kind, site in ADDS.items()}
    before = {"attention": entry, "ffn": entry + added["attention"]}
    return Reading(
        target=row.target,
        scale=lens.scale(at[last], at[FINAL]),
        before={kind: before[kind] for kind in KINDS},
        after={kind: before[kind] + added[kind] for kind in KINDS},
        coefficients={kind: model.residual_scale * torch.stack([upcast(c) for c in spoken[kind]]) for kind in KINDS},
    )


Seen = dict[tuple[str, int], Any]


@contextmanager
def _entered(places: Places) -> Iterator[Seen]:
    """What enters each block, each `o` and each `down` at the last position, and each attention's arguments."""
    seen: Seen = {}
    model = places.model
    with ExitStack() as hooks:
        for layer, block in enumerate(model.blocks):
            parts = {"block": block, **{kind: places.module(WRITES[kind], layer) for kind in KINDS}}
            for name, module in parts.items():
                handle = module.register_forward_pre_hook(_keep_last(seen, (name, layer)), with_kwargs=True)
                hooks.callback(handle.remove)
            attention = block.get_submodule(model.family.attention)
            handle = attention.register_forward_pre_hook(_keep_call(seen, ("call", layer)), with_kwargs=True)
            hooks.callback(handle.remove)
        yield seen


def _own_values(places: Places, layer: int, seen: Seen) -> Float[Tensor, " n_neuron"]:
    attention = places.model.blocks[layer].get_submodule(places.model.family.attention)
    args, kwargs = seen["call", layer]
    handle = places.module("v", layer).register_forward_hook(_only_last)
    try:
        attention(*args, **kwargs)
    finally:
        handle.remove()
    return seen["attention", layer]


def _keep_last(seen: Seen, key: tuple[str, int]) -> Any:
    def hook(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        given = args[0] if args else kwargs["hidden_states"]
        seen[key] = given.reshape(-1, given.shape[-1])[-1]  # one row: OPT flattens its positions

    return hook


def _keep_call(seen: Seen, key: tuple[str, int]) -> Any:
    def hook(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        seen[key] = (args, kwargs)

    return hook


def _only_last(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
    kept = torch.zeros_like(output)
    kept[:, -1] = output[:, -1]
    return kept
