"""The family of a model: by its name, else by its structure, tried on four tokens before it is believed."""

from typing import cast

from torch import nn
from transformers import PreTrainedModel

from ..errors import UserError
from .family import Family, family_of

ATTENTION = ("self_attn", "attn", "attention", "self_attention")
MLP = ("mlp", "feed_forward", "ffn", "block_sparse_moe")
NORM = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "final_norm", "norm_f")


def find_family(name: str, module: PreTrainedModel) -> Family:
    """The shipped family of the model's type, else one found by structure."""
    family = family_of(module.config.model_type)
    if family is None:
        return _discovered(name, module)
    _check_places(name, module, family)
    return family


def _check_places(name: str, module: PreTrainedModel, family: Family) -> None:
    """Refuse variants in which the head does not read a normed state of the blocks' width (OPT-350m)."""
    try:
        norm = module.get_submodule(family.norm)
    except AttributeError:
        norm = None
    rows = cast(nn.Embedding, module.get_input_embeddings()).weight
    if norm is None or rows.shape[1] != module.config.hidden_size:
        raise UserError(
            f"{name}: this {family.name} variant has no final norm or projects its states; choose another model"
        )


def _discovered(name: str, module: PreTrainedModel) -> Family:
    raise UserError(
        f"{name}: unknown model family '{module.config.model_type}'; describe it in "
        f"semalign/models/families/{module.config.model_type}.yaml (see llama.yaml there)"
    )
