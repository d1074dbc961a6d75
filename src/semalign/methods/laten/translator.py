"""Align: teacher neurons translated to the student's width, and what they change in its weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from ...models.family import Role
from .locate import Located
from .places import KIND_OF, ROLES, Kind, Places, first_of_each

DEVIATION = 1e-5  # of the first weights: translated neurons are then near 0, and the student is as it was

Vectors = dict[Role, Float32[Tensor, "n_layer _ _"]]
"""By role: [layer, neuron, width]. Teacher and student differ in width, FFN and attention in neurons."""


class Translator(nn.Module):
    """One network a role, the same for all layers: d_t to d_t, ReLU, d_t to d_s, without biases, in float32.

    Source: Tan et al. 2025, arXiv:2505.14436 (the hypernetwork of Locate-Then-Align).
    """

    def __init__(self, d_t: int, d_s: int, draws: torch.Generator) -> None:
        super().__init__()
        self.networks = nn.ModuleDict({role: _network(d_t, d_s, draws) for role in ROLES})

    def forward(self, vectors: Vectors) -> Vectors:
        return {role: self.networks[role](given) for role, given in vectors.items()}


def _network(d_t: int, d_s: int, draws: torch.Generator) -> nn.Sequential:
    shape = {"bias": False, "dtype": torch.float32, "device": "meta"}
    network = nn.Sequential(nn.Linear(d_t, d_t, **shape), nn.ReLU(), nn.Linear(d_t, d_s, **shape)).to_empty(
        device="cpu"
    )
    for weight in network.parameters():
        nn.init.normal_(weight, std=DEVIATION, generator=draws)
    return network


def teacher_vectors(places: Places, located: Mapping[Kind, Located]) -> Vectors:
    """Rows of up and v, columns of down and o, of the teacher's located neurons, in their order."""
    return {
        role: torch.stack(
            [
                places.vectors(role, layer, neurons).float()
                for layer, neurons in zip(located[kind].layers, located[kind].neurons, strict=True)
            ]
        )
        for role, kind in KIND_OF.items()
    }


@dataclass(frozen=True, eq=False)
class Change:
    """What is added to some rows (up, v) or columns (down, o) of a student weight."""

    places: Int[Tensor, " n"]
    """Each once."""
    values: Float[Tensor, "n d_s"]


Changes = dict[tuple[Role, int], Change]


def changes_of(places: Places, located: Mapping[Kind, Located], translated: Vectors) -> Changes:
    """By role and student layer: the j-th best student neuron takes the j-th translated teacher neuron.

    Where query heads share a row of `v`, the best ranked of its neurons changes it.
    """
    changes: Changes = {}
    for role, values in translated.items():
        one = located[KIND_OF[role]]
        for i, layer in enumerate(one.layers):
            place = places.place(role, one.neurons[i])
            first = first_of_each(place)
            changes[role, layer] = Change(place[first], values[i][first])
    return changes


def mean_of(parts: list[Changes]) -> Changes:
    """The mean of what several rows lead to; where a row changes nothing it counts as 0."""
    merged: Changes = {}
    for key in parts[0]:
        places, owner = torch.cat([part[key].places for part in parts]).unique(return_inverse=True)
        values = torch.cat([part[key].values for part in parts]) / len(parts)
        merged[key] = Change(places, values.new_zeros(len(places), values.shape[1]).index_add(0, owner, values))
    return merged


def size_of(changes: Changes) -> Float[Tensor, ""]:
    """Sum over roles of the mean squared number added."""
    squares = {role: [c.values for (r, _), c in changes.items() if r == role] for role in ROLES}
    return torch.stack([torch.cat(values).square().mean() for values in squares.values()]).sum()
