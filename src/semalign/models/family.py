"""Families as data: where a model family keeps its blocks, sub-layers, final norm and LoRA targets."""

from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

Role = Literal["q", "k", "v", "o", "cross_q", "cross_k", "cross_v", "cross_o", "gate", "up", "down"]
CROSS: tuple[Role, ...] = ("cross_q", "cross_k", "cross_v", "cross_o")
"""The decoder's attention to what the encoder has read."""


class EncoderPlaces(BaseModel):
    """Where the encoder of an encoder-decoder keeps what its decoder keeps elsewhere; other places are the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    blocks: str
    norm: str | None
    mlp: str | None = None
    mlp_out: str | None = None
    roles: dict[Role, str] = {}


class Family(BaseModel):
    """One model family, as written in `families/<name>.yaml`.

    `blocks` and `norm` are module paths from the model; all other paths start at a block. `attention_out` and `mlp_out`
    name the module whose output is added to the residual stream where it is not the sub-layer itself (a norm or a
    dropout follows). `residual_scale`, `softcap`, `logits_divisor` and `logits_multiplier` name configuration entries;
    `width_scaled` one that is true where the state is multiplied by width^-0.5 before the head reads it. `norm` is None
    where the head reads the last block's output as it is. Of an encoder-decoder the blocks are the decoder's, and
    `encoder` says where its encoder differs.
    `shared_bias`: the first block makes the position bias of all others, and each returns it beside its state.
    """

    # pydantic before 2.10 warns of names that begin with `model_`
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str
    model_types: tuple[str, ...]
    blocks: str
    norm: str | None
    attention: str
    mlp: str
    attention_out: str | None = None
    mlp_out: str | None = None
    norm_gain: Literal["weight", "one_plus_weight"] = "weight"
    roles: dict[Role, str] = {}
    fan_in_fan_out: bool = False
    residual_scale: str | None = None
    softcap: str | None = None
    logits_divisor: str | None = None
    logits_multiplier: str | None = None
    width_scaled: str | None = None
    shared_bias: bool = False
    encoder: EncoderPlaces | None = None

    @property
    def of_encoder(self) -> "Family":
        """The places of the encoder, as a family of its own: it has no attention to another part."""
        assert self.encoder is not None, f"{self.name} describes its encoder"
        own = self.encoder.model_dump(exclude_unset=True)
        roles = {role: path for role, path in self.roles.items() if role not in CROSS}
        return self.model_copy(update={**own, "roles": roles | self.encoder.roles, "encoder": None})

    @property
    def attention_site(self) -> str:
        """Path from a block to the module whose output is the attention's contribution to the stream."""
        return self.attention_out or self.attention

    @property
    def mlp_site(self) -> str:
        """Path from a block to the module whose output is the MLP's contribution to the stream."""
        return self.mlp_out or self.mlp


@cache
def families() -> dict[str, Family]:
    """All shipped families by name."""
    folder = files("semalign.models") / "families"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    names = {entry.name.removesuffix(".yaml"): entry for entry in found}
    return {name: Family(name=name, **yaml.safe_load(names[name].read_text("utf-8"))) for name in sorted(names)}


def families_of(model_type: str) -> list[Family]:
    """The families that list this `model_type` of a Hugging Face configuration; T5 has two forms of one type."""
    return [family for family in families().values() if model_type in family.model_types]
