"""Inject: changed rows and columns as LoRA adapters, one factor of which is a selector of zeros and ones.

Rows (up, v): W + S D, S [out, n] the selector, D [n, in] the rows to add.
Columns (down, o): W + D S, D [out, n] the columns to add, S [n, in].
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from ...models import LanguageModel
from ...models.family import Role
from ...models.quiet import quiet
from .places import READS, ROLES, Places
from .translator import Change, Changes

if TYPE_CHECKING:
    from peft import PeftModel
else:  # importing peft takes four seconds, so only those who adapt pay for it
    PeftModel = Any

ADAPTER = "default"


def inject_adapters(student: LanguageModel, ranks: Mapping[Role, int]) -> PeftModel:
    """Adapters that add nothing yet, on every layer, with room for so many rows or columns a role; in place."""
    from peft import LoraConfig, get_peft_model

    paths = {student.family.roles[role]: ranks[role] for role in ROLES}
    config = LoraConfig(
        r=max(paths.values()),
        lora_alpha=max(paths.values()),
        rank_pattern=paths,
        alpha_pattern=paths,  # alpha = rank: what is injected is added as it is
        lora_dropout=0.0,
        target_modules=list(paths),
        layers_to_transform=list(range(student.n_layer)),
        layers_pattern=student.family.blocks.rpartition(".")[2],
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(), quiet():
        adapter = get_peft_model(student.module, config, adapter_name=ADAPTER)
    adapter.requires_grad_(False)
    write_changes(student, {})
    return adapter  # pyright: ignore[reportReturnType]


@torch.no_grad()
def write_changes(student: LanguageModel, changes: Changes) -> None:
    """Put changes into the student's adapters; where there is none, nothing is added."""
    places = Places(student)
    for layer in range(student.n_layer):
        for role in ROLES:
            module: Any = places.module(role, layer)
            factors = [module.lora_A[ADAPTER].weight, module.lora_B[ADAPTER].weight]
            for factor in factors:
                factor.zero_()
            if (role, layer) in changes:
                given = _factors(student, role, layer, changes[role, layer])
                room = len(factors[0]) - len(given[0])
                factors[0].copy_(pad(given[0], (0, 0, 0, room)))
                factors[1].copy_(pad(given[1], (0, room)))


def adapter_tensors(student: LanguageModel, changes: Changes, prefix: str) -> dict[str, Tensor]:
    """The same as the tensors of the adapters by name, part of the graph; `prefix` leads to the student's module."""
    tensors = {}
    for (role, layer), change in changes.items():
        name = f"{prefix}.{student.family.blocks}.{layer}.{student.family.roles[role]}"
        down, up = _factors(student, role, layer, change)
        tensors |= {f"{name}.lora_A.{ADAPTER}.weight": down, f"{name}.lora_B.{ADAPTER}.weight": up}
    return tensors


def _factors(student: LanguageModel, role: Role, layer: int, change: Change) -> tuple[Tensor, Tensor]:
    """A [n, in] and B [out, n] in the adapters' type."""
    module: Any = Places(student).module(role, layer)
    kept = module.lora_A[ADAPTER].weight
    values = change.values.to(kept.dtype)
    selector = one_hot(change.places, Places(student).n_place(role)).to(kept.dtype)
    return (values, selector.T) if role in READS.values() else (selector, values.T)
