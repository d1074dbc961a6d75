"""Llama-shaped models with random weights: what a step costs does not depend on what a model knows."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from semalign.embedded import student_folder
from semalign.models import LanguageModel, assemble, load


def random_llama(n_layer: int, width: int, *, n_token: int, n_pos: int, seed: int = 0) -> LanguageModel:
    """Four heads, an MLP of four widths; the tokenizer is the embedded student's and not looked at."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=n_token,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=n_layer,
        num_attention_heads=4,
        max_position_embeddings=n_pos,
    )
    return assemble("random", LlamaForCausalLM(config).eval(), load(str(student_folder())).tokenizer)
