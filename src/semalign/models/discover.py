"""The family of a model: by its type, else by its structure, tried on a few tokens before it is believed."""

import warnings
from collections.abc import Iterable, Iterator
from itertools import product
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import UserError
from .family import Family, Role, families_of
from .language_model import LanguageModel, decoder_start
from .listen import FINAL, Point, listen

ATTENTION = ("self_attn", "attn", "attention", "self_attention")
MLP = ("mlp", "feed_forward", "ffn")
ATTENTION_OUT = (None, "post_attention_layernorm", "post_self_attn_layernorm")
MLP_OUT = (None, "post_feedforward_layernorm", "post_mlp_layernorm")
FUSED = ("qkv_proj", "query_key_value")
PROJECTIONS: dict[Role, tuple[str, ...]] = {
    "q": ("q_proj", *FUSED),
    "k": ("k_proj", *FUSED),
    "v": ("v_proj", *FUSED),
    "o": ("o_proj", "out_proj", "dense", "c_proj"),
    "gate": ("gate_proj", "gate_up_proj"),
    "up": ("up_proj", "gate_up_proj", "fc1", "fc_in", "c_fc"),
    "down": ("down_proj", "fc2", "fc_out", "c_proj"),
}
# Largest relative error of the trial: bfloat16 keeps eight bits, and a wrong place is off by a tenth or more.
TOLERANCE = 0.03


def assemble(name: str, module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> LanguageModel:
    """A LanguageModel of a module already in memory, with the family of its type or one found by structure."""
    if module.config.is_encoder_decoder and decoder_start(module) is None:
        raise UserError(f"{name}: does not say what its decoder begins with; set decoder_start_token_id in config.json")
    families = families_of(module.config.model_type)
    if not families:
        if module.config.is_encoder_decoder:
            raise _unknown(name, module)
        return _discovered(name, module, tokenizer)
    family = next((family for family in families if _has_roles(module, family)), families[0])
    _check_places(name, module, family)
    return LanguageModel(name, module, tokenizer, family)


def _has_roles(module: PreTrainedModel, family: Family) -> bool:
    """Whether a block has the family's matrices: T5's MLP is gated or not, under one model type."""
    block = module.get_submodule(f"{family.blocks}.0")
    return all(_has(block, path) for path in family.roles.values())


def _has(module: nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True


def _check_places(name: str, module: PreTrainedModel, family: Family) -> None:
    """Refuse variants whose head does not read a normed state of the blocks' width (OPT-350m)."""
    has_norm = family.norm is None or _has(module, family.norm)
    rows = cast(nn.Embedding, module.get_input_embeddings()).weight
    if not has_norm or rows.shape[1] != module.config.hidden_size:
        why = "has no final norm or projects its states to another width"
        raise UserError(f"{name}: this {family.name} variant {why}; choose another model")


def _discovered(name: str, module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> LanguageModel:
    kind = module.config.model_type
    for family in _candidates(module):
        model = LanguageModel(name, module, tokenizer, family)
        if _fits(model):
            warnings.warn(f"{name}: family '{kind}' is not listed; its places were found by structure", stacklevel=4)
            return model
    raise _unknown(name, module)


def _unknown(name: str, module: PreTrainedModel) -> UserError:
    kind, example = module.config.model_type, "bart" if module.config.is_encoder_decoder else "llama"
    return UserError(
        f"{name}: unknown model family '{kind}', and its structure does not tell where layers, attention and MLP are; "
        f"describe it in semalign/models/families/{kind}.yaml ({example}.yaml there is an example)"
    )


def _candidates(module: PreTrainedModel) -> Iterator[Family]:
    for path, norm in _stacks(module):
        block = module.get_submodule(path)[0]  # pyright: ignore[reportIndexIssue]  a ModuleList
        attention, mlp = _first(block, ATTENTION), _first(block, MLP)
        if attention is None or mlp is None:
            continue
        family = Family(
            name=module.config.model_type,
            model_types=(module.config.model_type,),
            blocks=path,
            norm=norm,
            attention=attention,
            mlp=mlp,
            roles=_roles(block, attention, mlp),
            softcap="final_logit_softcapping",
            logits_divisor="logits_scaling",
            logits_multiplier="logit_scale",
            residual_scale="residual_multiplier",
        )
        for attention_out, mlp_out in product(_present(block, ATTENTION_OUT), _present(block, MLP_OUT)):
            yield family.model_copy(update={"attention_out": attention_out, "mlp_out": mlp_out})


def _stacks(module: PreTrainedModel) -> Iterator[tuple[str, str]]:
    """Module lists of the model's depth, each with a norm beside it."""
    for path, part in module.named_modules():
        if isinstance(part, nn.ModuleList) and len(part) == module.config.num_hidden_layers:
            parent = path.rpartition(".")[0]
            for name, sibling in module.get_submodule(parent).named_children():
                if "norm" in type(sibling).__name__.lower():
                    yield path, f"{parent}.{name}" if parent else name


def _first(block: nn.Module, names: Iterable[str]) -> str | None:
    return next((name for name in names if isinstance(getattr(block, name, None), nn.Module)), None)


def _present(block: nn.Module, names: Iterable[str | None]) -> list[str | None]:
    return [name for name in names if name is None or isinstance(getattr(block, name, None), nn.Module)]


def _roles(block: nn.Module, attention: str, mlp: str) -> dict[Role, str]:
    found: dict[Role, str] = {}
    for role, names in PROJECTIONS.items():
        parent = attention if role in ("q", "k", "v", "o") else mlp
        child = _first(block.get_submodule(parent), names)
        if child is not None:
            found[role] = f"{parent}.{child}"
    return found


def _fits(model: LanguageModel) -> bool:
    """Do contributions sum to each block's change, and does the head read the normed state as the model does?"""
    layers = range(model.n_layer)
    tokens = torch.arange(5, 10, device=model.device)[None]
    points = [Point(site, layer) for site in ("attn_out", "mlp_out", "block_delta") for layer in layers]
    with torch.no_grad():
        logits = model.module(tokens).logits
    try:
        with torch.no_grad(), listen(model, [*points, FINAL]) as heard:
            model.module(tokens)
            sums = [heard[Point("attn_out", layer)] + heard[Point("mlp_out", layer)] for layer in layers]
            read = model.logits(heard[FINAL])
    except (AttributeError, KeyError, TypeError, RuntimeError):
        return False
    changes = [heard[Point("block_delta", layer)] for layer in layers]
    return _close(read, logits) and all(map(_close, sums, changes))


def _close(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    return bool((found - expected).norm() <= TOLERANCE * expected.norm())
