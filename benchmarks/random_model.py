"""Llama-shaped models with random weights: what a step costs does not depend on what a model knows."""

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from semalign.embedded import student_folder
from semalign.models import LanguageModel, assemble, load


def random_llama(n_layer: int, width: int, *, n_token: int, n_pos: int, seed: int = 0, **changes: Any) -> LanguageModel:
    """Four heads, an MLP of four widths, unless the configuration's `changes` say otherwise; the tokenizer is the
    embedded student's and not looked at."""
    torch.manual_seed(seed)
    size: dict[str, Any] = {"intermediate_size": 4 * width, "num_attention_heads": 4} | changes
    config = LlamaConfig(
        vocab_size=n_token, hidden_size=width, num_hidden_layers=n_layer, max_position_embeddings=n_pos, **size
    )
    return assemble("random", LlamaForCausalLM(config).eval(), load(str(student_folder())).tokenizer)
