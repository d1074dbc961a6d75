"""Where a model keeps the neurons that LaTen moves: a row of one weight and a column of another, both of the width."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...errors import UserError
from ...models import LanguageModel
from ...models.family import Role

Kind = Literal["attention", "ffn"]
READS: dict[Kind, Role] = {"attention": "v", "ffn": "up"}
WRITES: dict[Kind, Role] = {"attention": "o", "ffn": "down"}
KINDS: tuple[Kind, ...] = ("attention", "ffn")
ROLES: tuple[Role, ...] = ("up", "down", "v", "o")
KIND_OF: dict[Role, Kind] = {"up": "ffn", "down": "ffn", "v": "attention", "o": "attention"}


@dataclass(frozen=True, eq=False)
class Places:
    """The neurons of a model by their place in what `down` (FFN) and `o` (attention) read.

    Neuron k of an FFN is row k of `up` and column k of `down`. Neuron e * head_dim + j of an attention is column
    e * head_dim + j of `o` and row j of the values that query head e looks at: with grouped queries several neurons
    share a row of `v`.
    """

    model: LanguageModel

    def module(self, role: Role, layer: int) -> nn.Module:
        return self.model.blocks[layer].get_submodule(self.model.family.roles[role])

    def n_neuron(self, kind: Kind) -> int:
        return _weight(self.module(WRITES[kind], 0)).shape[1]

    def n_place(self, role: Role) -> int:
        """Rows (up, v) or columns (down, o) of a weight."""
        return _weight(self.module(role, 0)).shape[0 if role in READS.values() else 1]

    def place(self, role: Role, neurons: Int[Tensor, "*batch n"]) -> Int[Tensor, "*batch n"]:
        """The rows (up, v) or columns (down, o) of neurons."""
        if role != "v":
            return neurons
        n_head = self.model.module.config.num_attention_heads
        head_dim = self.n_neuron("attention") // n_head
        queries_a_value = n_head * head_dim // self.n_place("v")
        return neurons // head_dim // queries_a_value * head_dim + neurons % head_dim

    def vectors(self, role: Role, layer: int, neurons: Int[Tensor, " n"]) -> Float[Tensor, "n width"]:
        """A weight's rows or columns of neurons, with what an adapter adds to them (an adapted teacher's)."""
        module, place = self.module(role, layer), self.place(role, neurons)
        by_row = role in READS.values()
        found = _weight(module)[place] if by_row else _weight(module)[:, place].T
        for name in getattr(module, "active_adapters", ()):
            down, up = (getattr(module, part)[name].weight for part in ("lora_A", "lora_B"))
            added = up[place] @ down if by_row else (up @ down[:, place]).T
            found = found + getattr(module, "scaling")[name] * added  # noqa: B009 - of PEFT's layers
        return found


def refuse_places(model: LanguageModel) -> None:
    """Raise UserError for a model whose neurons are not rows and columns of weights of their own."""
    family = model.family
    missing = [role for role in ROLES if role not in family.roles]
    if missing:
        raise UserError(
            f"method 'laten' moves neurons of up, down, v and o, but the {family.name} family has no '{missing[0]}'"
        )
    by_path: dict[str, Role] = {}
    for role, path in family.roles.items():
        shared = by_path.setdefault(path, role)
        if shared != role and {shared, role} & set(ROLES):
            raise UserError(
                f"{model.name}: '{shared}' and '{role}' are one module of the {family.name} family ({path}); "
                "method 'laten' needs each as a weight of its own"
            )
    if family.attention_out or family.mlp_out:
        raise UserError(
            f"{model.name}: the {family.name} family changes a sub-layer's output before it is added to the stream, so "
            "no neuron adds a vector of its own; method 'laten' cannot score them"
        )
    places = Places(model)
    for role in ROLES:
        module = places.module(role, 0)
        if not isinstance(module, nn.Linear):
            raise UserError(f"{model.name}: '{role}' is a {type(module).__name__}; method 'laten' needs nn.Linear")


def _weight(module: Any) -> Tensor:
    """Of a LoRA layer, that of its base."""
    return module.weight.detach()


def first_of_each(places: Int[Tensor, " n"]) -> Int[Tensor, " m"]:
    """Indices of the first (best ranked) neuron at each place, in order."""
    same = places[:, None] == places[None, :]
    return (~torch.tril(same, diagonal=-1).any(1)).nonzero()[:, 0]
