"""LoRA adapters on chosen layers through PEFT, merged copies, and the untouched base back again."""

import copy
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from ..errors import UserError, unknown
from .encoder import Encoder, encoder_of
from .family import CROSS
from .language_model import LanguageModel
from .listen import check_layers
from .quiet import quiet

if TYPE_CHECKING:
    from peft import PeftModel
else:  # importing peft takes four seconds, so only those who adapt pay for it
    PeftModel = Any


def lora(
    model: LanguageModel,
    layers: Sequence[int],
    *,
    encoder_layers: Sequence[int] = (),
    rank: int = 16,
    alpha: float = 16,
    dropout: float = 0.05,
    roles: Sequence[str] = ("up", "down", "v", "o"),
    seed: int = 0,
    name: str = "default",
) -> PeftModel:
    """Put trainable LoRA adapters on the given layers of `model`, in place; everything else is frozen.

    `encoder_layers` are those of an encoder-decoder's encoder, where the roles `cross_*` do not exist.
    Where a family fuses roles in one module (GPT-2's c_attn, Phi-3's qkv_proj), the adapter covers the whole module.
    """
    from peft import LoraConfig, get_peft_model

    assert not hasattr(model.module, "peft_config"), f"{model.name} is adapted already; unload it first"
    if not layers and not encoder_layers:
        raise UserError(f"{model.name}: no layer to adapt; name at least one of 0 to {model.n_layer - 1}")
    check_layers(layers, model.n_layer, model.name)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # pyright: ignore[reportArgumentType]  PEFT divides it by the rank, so any number will do
        lora_dropout=dropout,
        fan_in_fan_out=model.family.fan_in_fan_out,
        **_places(model, sorted(set(layers)), sorted(set(encoder_layers)), roles),
    )
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        return get_peft_model(model.module, config, adapter_name=name)  # pyright: ignore[reportReturnType]


def _places(model: LanguageModel, layers: list[int], encoder_layers: list[int], roles: Sequence[str]) -> dict[str, Any]:
    """PEFT's words for the modules; of an encoder-decoder with their part, whose other one has modules of the same
    names."""
    paths = lora_targets(model, roles)
    if model.is_encoder_decoder:
        parts = [_pattern(model, layers, paths)] if layers else []
        if encoder_layers:
            encoder = encoder_of(model)
            check_layers(encoder_layers, encoder.n_layer, f"the encoder of {model.name}")
            parts.append(_pattern(encoder, encoder_layers, lora_targets(encoder, roles)))
        return {"target_modules": "|".join(parts), "task_type": "SEQ_2_SEQ_LM"}
    assert not encoder_layers, f"{model.name} has no encoder"
    pattern = model.family.blocks.rpartition(".")[2]
    return {
        "target_modules": paths,
        "layers_to_transform": layers,
        "layers_pattern": pattern,
        "task_type": "CAUSAL_LM",
    }


def _pattern(model: LanguageModel, layers: list[int], paths: list[str]) -> str:
    choices = [str(layer) for layer in layers], [re.escape(path) for path in paths]
    among = ["(" + "|".join(each) + ")" for each in choices]
    return rf"{re.escape(model.family.blocks)}\.{among[0]}\.{among[1]}"


def train_only(model: LanguageModel, layers: Collection[int]) -> None:
    """Of the adapters on `model` those of the given layers train, the others keep their values; in place."""
    for layer, block in enumerate(model.blocks):
        for name, parameter in block.named_parameters():
            if "lora_" in name:
                parameter.requires_grad_(layer in layers)


def merge(peft_model: PeftModel) -> PreTrainedModel:
    """A plain copy of the model with the adapters added into its weights; `peft_model` stays as it is."""
    try:
        merged = copy.deepcopy(peft_model).merge_and_unload(safe_merge=True)
    except ValueError as error:  # PEFT's safe merge looks for NaN
        raise UserError(f"the adapter cannot be merged: {error}") from error
    return _forget_adapters(merged)


def unload(peft_model: PeftModel) -> PreTrainedModel:
    """Take the adapters off again, in place: the base with its weights bit-identical, all frozen."""
    return _forget_adapters(peft_model.unload())


def lora_targets(model: LanguageModel, roles: Sequence[str]) -> list[str]:
    """Module paths of roles within a block, each once; UserError for a role that the family does not have.

    Of an encoder, which looks at no other part, the roles `cross_*` are left out.
    """
    if isinstance(model, Encoder):
        roles = [role for role in roles if role not in CROSS]
    if not roles:
        raise UserError(f"{model.name}: no role to adapt; name some of {', '.join(model.family.roles)}")
    paths: dict[str, str] = {**model.family.roles}
    for role in roles:
        if role not in paths:
            raise unknown(f"LoRA role of the {model.family.name} family", role, paths, model.name)
    return list(dict.fromkeys(paths[role] for role in roles))


def _forget_adapters(module: PreTrainedModel) -> PreTrainedModel:
    if hasattr(module, "peft_config"):  # PEFT before 0.19 leaves it behind
        del module.peft_config
    module.requires_grad_(False)
    return module
