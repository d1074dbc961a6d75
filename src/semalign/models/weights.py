"""The weights of a layer as the model works with them: LoRA adapters on a module count as part of it."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from ..errors import UserError
from .family import Role
from .language_model import LanguageModel


@dataclass(frozen=True, eq=False)
class Weight:
    """A parameter of a layer. Its gradient is that of `value`: an adapter only adds to it."""

    parameter: nn.Parameter
    module: Any
    """What holds the parameter, or the adapter around that."""

    @property
    def value(self) -> Tensor:
        """What the model works with, part of no graph."""
        value = self.parameter.detach()
        if isinstance(value, DTensor):  # divided among processes, which all ask
            value = value.full_tensor()
        adapters = getattr(self.module, "active_adapters", ())
        if adapters and self.parameter is self.module.weight:
            for adapter in adapters:
                value = value + self.module.get_delta_weight(adapter).detach()
        return value


def layer_weights(model: LanguageModel, layer: int) -> dict[str, Weight]:
    """All parameters of a layer by the names they have without adapters; those of adapters are left out."""
    if model.is_quantized:
        raise UserError(f"{model.name}: its weights are packed and cannot be read one by one; load it unquantized")
    block, found = model.blocks[layer], {}
    for name, parameter in block.named_parameters():
        if "lora_" not in name:
            path = name.replace(".base_layer.", ".")
            found[path] = Weight(parameter, block.get_submodule(path.rpartition(".")[0]))
    return found


def matrix_name(model: LanguageModel, role: Role) -> str:
    """What `layer_weights` calls the matrix of a role."""
    return f"{model.family.roles[role]}.weight"


def oriented(model: LanguageModel, matrix: Float[Tensor, "x y"]) -> Float[Tensor, "out in"]:
    """A stored matrix with a row for each output (GPT-2 stores them the other way round), and back again."""
    return matrix.T if model.family.fan_in_fan_out else matrix
