"""A model whose layers are packed in 8 or 4 bits a weight: through bitsandbytes, on a GPU or a CPU."""

import importlib.util
import logging
from typing import Any, Literal

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel

from ..errors import UserError
from .language_model import LanguageModel

Quantization = Literal["8bit", "4bit"]
PACKED_4BIT = torch.uint8  # two weights a byte


def packing(quantization: Quantization, dtype: str, device: str | torch.device) -> dict[str, Any]:
    """What `from_pretrained` is told. Embedding, norms and head stay as they are.

    8 bits are LLM.int8 (Dettmers et al. 2022, arXiv:2208.07339), 4 bits NF4 with doubly quantized scales (Dettmers et
    al. 2023, arXiv:2305.14314). Raises UserError where bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"quantization {quantization} needs the package bitsandbytes: pip install 'semalign[quantized]', or leave "
            "teacher.quantization out (dtype: bfloat16 halves the memory of float32)"
        )
    # on a CPU it notes at every product that inputs are cast
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if quantization == "8bit":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        computed = torch.float32 if dtype == "auto" else getattr(torch, dtype)
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=computed,
        )
    return {"quantization_config": config, "device_map": {"": torch.device(device)}}


def with_gradients(module: PreTrainedModel) -> PreTrainedModel:
    """The module, gradients pass through it; attributions ask for them.

    On a CPU with AVX512-BF16 bitsandbytes packs 4-bit weights anew when they are first read without a gradient, and
    what computes with them from then on has none (a wrong one, in silence).
    """
    for part in module.modules():
        if hasattr(part, "support_avx512bf16_for_cpu"):
            part.__dict__["support_avx512bf16_for_cpu"] = False
    return module


def n_weight(model: LanguageModel) -> int:
    """Weights of the model without its adapters, packed ones counted one by one."""
    return sum(
        parameter.numel() * (2 if model.is_quantized and parameter.dtype == PACKED_4BIT else 1)
        for name, parameter in model.module.named_parameters()
        if "lora_" not in name
    )
