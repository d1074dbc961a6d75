"""LoRA adapters that start at given factors and leave the model unchanged at first, its weights untouched."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from .adapters import lora
from .language_model import LanguageModel
from .quiet import quiet

if TYPE_CHECKING:
    from peft import LoraConfig, LoraModel, PeftModel
else:  # importing peft takes four seconds, so only those who adapt pay for it
    PeftModel = Any

TRAINED, START, FOLDED = "trained", "start", "default"


def inject(
    model: LanguageModel, layers: Sequence[int], start: Mapping[str, Tensor], *, rank: int, **options: Any
) -> PeftModel:
    """Adapters with W - B0 A0 + B A for W: B and A train and begin at B0 and A0; in place.

    `start` holds `<module>.lora_B` and `<module>.lora_A`. What is taken off is a second, frozen adapter, so the base
    stays as it is; dropout meets the trained one alone, as if W - B0 A0 were the weight. `fold` makes one of both.
    """
    peft_model = lora(model, layers, rank=rank, name=TRAINED, **options)
    _add(peft_model, START, lora_dropout=0.0)
    with torch.no_grad():
        for module, path in _adapted(model):
            first_a, first_b = start[f"{path}.lora_A"], start[f"{path}.lora_B"]
            for name, sign in ((TRAINED, 1), (START, -1)):
                module.lora_A[name].weight.copy_(first_a)
                module.lora_B[name].weight.copy_(sign * first_b)
    cast("LoraModel", peft_model.base_model).set_adapter([TRAINED, START])
    for name, parameter in peft_model.named_parameters():
        parameter.requires_grad_(f".{TRAINED}." in name)
    return peft_model


def fold(model: LanguageModel, peft_model: PeftModel) -> None:
    """Make one plain adapter of twice the rank from the two of `inject`, in place: [B, -B0] [A; A0]."""
    rank = 2 * cast("LoraConfig", peft_model.peft_config[TRAINED]).r
    _add(peft_model, FOLDED, r=rank, lora_alpha=rank)
    with torch.no_grad():
        for module, _ in _adapted(model):
            parts = [(module.lora_A[name].weight, module.lora_B[name].weight) for name in (TRAINED, START)]
            module.lora_A[FOLDED].weight.copy_(torch.cat([a for a, _ in parts], dim=0))
            module.lora_B[FOLDED].weight.copy_(torch.cat([b for _, b in parts], dim=1))
    peft_model.set_adapter(FOLDED)
    for name in (TRAINED, START):
        peft_model.delete_adapter(name)


def _add(peft_model: PeftModel, name: str, **changes: Any) -> None:
    """A further adapter with the options of the trained one, but for these; nobody's random numbers are used up."""
    config = dataclasses.replace(peft_model.peft_config[TRAINED], **changes)  # pyright: ignore[reportArgumentType]
    with torch.random.fork_rng(), quiet():
        peft_model.add_adapter(name, config)


def _adapted(model: LanguageModel) -> Iterator[tuple[Any, str]]:
    """Modules that carry adapters, with their paths in the model."""
    for path, module in model.module.named_modules():
        if isinstance(getattr(module, "lora_A", None), nn.ModuleDict):
            yield module, path
