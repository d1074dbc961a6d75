"""Random-weight encoder-decoders, tiny: T5 scaled, gated and of two depths, BART, Pegasus."""

import torch
from tiny import N_ROW, tiny_tokenizer
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from semalign.models import assemble

T5 = {"d_kv": 6, "d_ff": 44, "num_heads": 4, "relative_attention_num_buckets": 8, "decoder_start_token_id": 0}
BART = {"encoder_attention_heads": 4, "decoder_attention_heads": 3, "encoder_ffn_dim": 40, "decoder_ffn_dim": 44}
SEQ2SEQ = {
    "t5": ("t5", T5),
    "t5_gated": ("t5", T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "mt5": ("mt5", T5),
    "bart": ("bart", BART | {"decoder_start_token_id": 2, "forced_eos_token_id": None, "scale_embedding": True}),
    "pegasus": ("pegasus", BART | {"decoder_start_token_id": 0, "forced_eos_token_id": None}),
}


def tiny_seq2seq(family="t5", *, n_layer=3, n_encoder=2, width=24, n_row=N_ROW, dtype=torch.float64, seed=0, **entries):
    """A LanguageModel in evaluation mode with all weights random; depths of encoder and decoder differ."""
    kind, own = SEQ2SEQ[family]
    if "bart" in kind or "pegasus" in kind:
        depths = {"encoder_layers": n_encoder, "decoder_layers": n_layer, "max_position_embeddings": 64}
    else:
        depths = {"num_layers": n_encoder, "num_decoder_layers": n_layer}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "vocab_size": n_row, "d_model": width}
    config = AutoConfig.for_model(kind, **(ids | depths | own | entries))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = AutoModelForSeq2SeqLM.from_config(config, dtype=dtype).eval()
        for parameter in module.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        if (bias := getattr(module, "final_logits_bias", None)) is not None:
            bias += 0.1 * torch.randn_like(bias)
    return assemble(f"tiny-{family}", module.requires_grad_(False), tiny_tokenizer())
