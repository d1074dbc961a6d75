"""Fewer layers: a copy of a model that keeps some blocks, with a configuration and cache indices that fit."""

import copy
from collections.abc import Sequence

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from ..errors import UserError
from .language_model import LanguageModel
from .listen import check_layers


def shrink(model: LanguageModel, keep: Sequence[int]) -> LanguageModel:
    """A copy of `model` with only the blocks `keep`, in ascending order; embedding, final norm and head stay."""
    _check_keep(model, keep)
    module = copy.deepcopy(model.module)
    parent, _, child = model.family.blocks.rpartition(".")
    blocks = nn.ModuleList(module.get_submodule(model.family.blocks).get_submodule(str(layer)) for layer in keep)
    setattr(module.get_submodule(parent), child, blocks)
    _renumber(blocks)
    _select(module.config, keep, model.n_layer)
    _check_rebuilds(model.name, module)
    return LanguageModel(model.name, module, model.tokenizer, model.family)


def _check_keep(model: LanguageModel, keep: Sequence[int]) -> None:
    if model.is_encoder_decoder:
        raise UserError(f"{model.name}: is an encoder-decoder, and only decoder-only models can be cut; choose another")
    if not keep:
        raise UserError(f"{model.name}: no layer to keep; name at least one of 0 to {model.n_layer - 1}")
    check_layers(keep, model.n_layer, model.name)
    if list(keep) != sorted(set(keep)):
        raise UserError(f"{model.name}: layers to keep must ascend without repeats, got {list(keep)}")


def _renumber(blocks: nn.ModuleList) -> None:
    """Attention modules find their key-value cache by `layer_idx`."""
    for layer, block in enumerate(blocks):
        for part in block.modules():
            if isinstance(getattr(part, "layer_idx", None), int):
                part.layer_idx = layer  # pyright: ignore[reportArgumentType]  a plain number, no module


def _select(config: PretrainedConfig, keep: Sequence[int], n_layer: int) -> None:
    """Shorten the number of layers and every list in the configuration that has an entry a layer."""
    for name, value in list(vars(config).items()):
        if isinstance(value, (list, tuple)) and len(value) == n_layer and not name.startswith("_"):
            setattr(config, name, [value[layer] for layer in keep])
    config.num_hidden_layers = len(keep)


def _check_rebuilds(name: str, module: PreTrainedModel) -> None:
    """The configuration must describe the same weights, or the saved folder would not load."""
    with torch.device("meta"):
        rebuilt = AutoModelForCausalLM.from_config(copy.deepcopy(module.config))
    expected = {key: value.shape for key, value in rebuilt.state_dict().items()}
    if expected != {key: value.shape for key, value in module.state_dict().items()}:
        raise UserError(f"{name}: a {module.config.model_type} configuration cannot describe these layers; keep others")
