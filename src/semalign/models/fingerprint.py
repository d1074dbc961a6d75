"""What tells one model from another: its weights to the bit, and its configuration."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from ..artifacts import key
from .language_model import LanguageModel

# what a configuration says of where the model came from; dtypes are read off the weights
_PROVENANCE = ("_name_or_path", "transformers_version", "architectures", "dtype")


def fingerprint(model: LanguageModel) -> str:
    """Equal where weights, adapters on the model too, and the configuration are, whatever the model was loaded from.

    Reads every weight once: half a second a GB.
    """
    config = {name: value for name, value in model.module.config.to_dict().items() if name not in _PROVENANCE}
    return key(digest(dict(model.module.named_parameters())), config)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Of the names, dtypes, shapes and bytes of tensors, in whatever order they are.

    Of tensors that are divided among processes every process has to ask at once.
    """
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        found.update(f"{name} {whole.dtype} {tuple(whole.shape)}".encode())
        found.update(whole.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
