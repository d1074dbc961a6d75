"""Locate: the layers and neurons of a model that raise the probability of an answer's last word the most."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...losses.chunks import LOGITS_AT_ONCE
from ...models import LanguageModel
from .lens import FixedLens
from .places import KINDS, WRITES, Kind, Places
from .reading import Reading, Sources, read_row
from .rows import LocatingRow

Choice = Literal["located", "random"]


@dataclass(frozen=True, eq=False)
class Located:
    """Neurons of one kind that a row leads to: in each kept layer, in order of depth, the best first."""

    layers: tuple[int, ...]
    neurons: Int[Tensor, "n_layer n"]
    increase: Float[Tensor, "n_layer"]
    """Of log p(target) by all that each kept layer adds, in nats."""


@dataclass(frozen=True, kw_only=True)
class Locator:
    """Scores neurons by the log-probability increase of the last answer token.

    A neuron's score is log p(w | state + its vector) - log p(w | state), the state before its attention or FFN, read
    through the final norm and the head. A layer's score is that of all it adds.
    Source: Yu & Ananiadou 2024, arXiv:2312.12141; Tan et al. 2025, arXiv:2505.14436.
    """

    n_layer: int
    """Layers of each kind to keep."""
    count: dict[Kind, int]
    """Neurons to keep a layer."""
    sources: Sources = "last"
    choice: Choice = "located"

    def locate(
        self, model: LanguageModel, rows: Sequence[LocatingRow], draws: torch.Generator
    ) -> list[dict[Kind, Located]]:
        """For each row the neurons of each kind; rows share the product of a layer's columns with the head."""
        places, lens = Places(model), FixedLens(model)
        readings = [read_row(places, lens, row, self.sources) for row in rows]
        found: list[dict[Kind, Located]] = [{} for _ in rows]
        for kind in KINDS:
            increases = layer_scores(lens, kind, readings)
            kept = [kept_layers(increase, self.n_layer) for increase in increases]
            chosen = self._neurons(places, lens, kind, readings, kept=kept, draws=draws)
            for i, layers in enumerate(kept):
                neurons = torch.stack([chosen[i, layer] for layer in layers])
                found[i][kind] = Located(tuple(layers), neurons, increases[i][layers])
        return found

    def _neurons(
        self,
        places: Places,
        lens: FixedLens,
        kind: Kind,
        readings: Sequence[Reading],
        *,
        kept: Sequence[list[int]],
        draws: torch.Generator,
    ) -> dict[tuple[int, int], Int[Tensor, " n"]]:
        """By row and layer."""
        chosen = {}
        for layer in sorted({layer for layers in kept for layer in layers}):
            rows = [i for i, layers in enumerate(kept) if layer in layers]
            if self.choice == "random":
                n = places.n_neuron(kind)
                drawn = [torch.randperm(n, generator=draws)[: self.count[kind]] for _ in rows]
                best = [one.to(places.model.device) for one in drawn]
            else:
                scores = neuron_scores(places, lens, kind, layer, [readings[i] for i in rows])
                best = [_best(score, self.count[kind]) for score in scores]
            chosen |= {(i, layer): neurons for i, neurons in zip(rows, best, strict=True)}
        return chosen


@torch.no_grad()
def layer_scores(lens: FixedLens, kind: Kind, readings: Sequence[Reading]) -> list[Float[Tensor, "n_layer"]]:
    """For each row: log p(target) after each attention (or FFN) less that before it, in nats."""
    return [_log_p(lens, one.after[kind], one) - _log_p(lens, one.before[kind], one) for one in readings]


@torch.no_grad()
def neuron_scores(
    places: Places, lens: FixedLens, kind: Kind, layer: int, readings: Sequence[Reading], *, chunk: int | None = None
) -> Float[Tensor, "row n_neuron"]:
    """The log-probability increase of every neuron of a layer on every row, in nats.

    In chunks of neurons: no [n_neuron, n_row] of logits is ever held in whole.
    """
    neurons = torch.arange(places.n_neuron(kind), device=places.model.device)
    before = [lens.image(one.before[kind][layer : layer + 1]) for one in readings]
    scores = lens.gain.new_zeros(len(readings), len(neurons))
    for part in neurons.split(chunk or max(1, LOGITS_AT_ONCE // len(lens.head))):
        image = lens.image(places.vectors(WRITES[kind], layer, part))
        for i, one in enumerate(readings):
            spoken = one.coefficients[kind][layer, part, None]
            scores[i, part] = lens.log_p(one.scale * (before[i] + spoken * image), one.target)
    origin = [lens.log_p(one.scale * state, one.target) for one, state in zip(readings, before, strict=True)]
    return scores - torch.stack(origin)


def kept_layers(scores: Float[Tensor, "n_layer"], count: int) -> list[int]:
    """The layers with the highest scores, in order of depth."""
    return sorted(_best(scores, count).tolist())


def _log_p(lens: FixedLens, states: Float[Tensor, "n d"], reading: Reading) -> Float[Tensor, " n"]:
    return lens.log_p(reading.scale * lens.image(states), reading.target)


def _best(scores: Float[Tensor, " n"], count: int) -> Int[Tensor, " count"]:
    """Indices of the highest, the highest first; of equals the first."""
    return scores.argsort(descending=True, stable=True)[:count]
