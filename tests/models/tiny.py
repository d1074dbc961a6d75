"""Random-weight models of every family, tiny, with a byte-level tokenizer trained on the spot."""

from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from semalign.models import LanguageModel, assemble

N_ROW = 331  # more rows than tokens, as in padded vocabularies
TEXT = ["the quick brown fox jumps over the lazy dog", "a layer adds its output to the stream", "one two three four"]

GATED = {"num_key_value_heads": 2, "intermediate_size": 44}
FAMILIES: dict[str, tuple[str, dict]] = {
    "llama": ("llama", GATED),
    "mistral": ("mistral", GATED | {"sliding_window": 5, "head_dim": 6}),
    "qwen2": ("qwen2", GATED | {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", GATED | {"head_dim": 8}),
    "smollm3": ("smollm3", GATED),
    "gemma": ("gemma", GATED | {"head_dim": 8}),
    "gemma2": ("gemma2", GATED | {"head_dim": 8, "sliding_window": 5}),
    "gemma3": ("gemma3_text", GATED | {"head_dim": 8, "sliding_window": 5, "final_logit_softcapping": 7.0}),
    "olmo2": ("olmo2", GATED),
    "granite": ("granite", GATED | {"residual_multiplier": 0.3, "logits_scaling": 2.5, "embedding_multiplier": 1.5}),
    "phi3": ("phi3", GATED | {"resid_pdrop": 0.25}),
    "gpt2": ("gpt2", {"n_inner": 44, "resid_pdrop": 0.25}),
    "gpt_neox": ("gpt_neox", {"intermediate_size": 44, "use_parallel_residual": True, "hidden_dropout": 0.25}),
    "gpt_neox_sequential": ("gpt_neox", {"intermediate_size": 44, "use_parallel_residual": False}),
    "opt": ("opt", {"ffn_dim": 44}),
    "mixtral": ("mixtral", GATED | {"num_local_experts": 3, "num_experts_per_tok": 2}),
    "qwen3_moe": (
        "qwen3_moe",
        GATED | {"head_dim": 8, "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 20},
    ),
}


@cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXT, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def tiny(family: str = "llama", **sizes: Any) -> LanguageModel:
    """A tiny LanguageModel of one of FAMILIES; see tiny_model for sizes, any configuration entry may be given."""
    model_type, own = FAMILIES[family]
    return tiny_model(model_type, **(own | sizes))


def tiny_model(
    model_type: str,
    *,
    n_layer: int = 3,
    width: int = 24,
    n_head: int = 4,
    n_row: int = N_ROW,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    **entries: Any,
) -> LanguageModel:
    """A LanguageModel in evaluation mode with all weights random, norms' too, so that gains matter."""
    common = {"num_hidden_layers": n_layer, "hidden_size": width, "num_attention_heads": n_head, "vocab_size": n_row}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 64}
    config = AutoConfig.for_model(model_type, **(common | ids | entries))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = AutoModelForCausalLM.from_config(config, dtype=dtype, experts_implementation="eager").eval()
        for parameter in module.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return assemble(f"tiny-{model_type}", module, tiny_tokenizer())


def tokens(*shape: int, n_row: int = N_ROW, seed: int = 0) -> torch.Tensor:
    """Random real token ids, no special ones."""
    n_token = min(n_row, len(tiny_tokenizer()))
    return torch.randint(3, n_token, shape, generator=torch.Generator().manual_seed(seed))
