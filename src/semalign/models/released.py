"""A model whose blocks take no memory for a while: head, final norm and embedding stay, nothing else can run."""

import contextlib
from collections.abc import Callable, Iterator

import torch

from ..costs import give_back
from ..errors import UserError
from .language_model import LanguageModel


@contextlib.contextmanager
def released(model: LanguageModel, again: Callable[[], LanguageModel]) -> Iterator[None]:
    """The blocks' weights are given back within the block, and afterwards taken from the model that `again` loads.

    Adapters on the model stay in memory: they are small, and `again` does not know them. Raises UserError where what is
    loaded is not what was there.
    """
    held = {
        name: parameter
        for name, parameter in model.module.get_submodule(model.family.blocks).named_parameters()
        if "lora_" not in name
    }
    sums = {name: _sum(parameter) for name, parameter in held.items()}
    for parameter in held.values():
        parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)
    give_back()
    try:
        yield
    finally:
        fresh = again()
        given = dict(fresh.module.get_submodule(fresh.family.blocks).named_parameters())
        for name, parameter in held.items():
            parameter.data = given[name.replace(".base_layer.", ".")].data
        del fresh, given
        give_back()
        if any(_sum(parameter) != sums[name] for name, parameter in held.items()):
            raise UserError(f"{model.name}: its weights changed while the run went on; begin a new one")


def _sum(parameter: torch.Tensor) -> float:
    return float(parameter.detach().double().sum())
