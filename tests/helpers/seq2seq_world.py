"""A T5 and a Llama that have learned a small task for some seconds, and a BART that has not, in tiny_run's world."""

import copy

import torch
from tiny_run import TASKS, make_tokenizer, write_world
from tokenizers import processors
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    LlamaConfig,
    T5Config,
)

from semalign.data import Row, batches, encode

LENGTH = 60
SIZES = {
    "t5": (T5Config, {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 4, "num_layers": 1, "num_decoder_layers": 2}),
    "bart": (
        BartConfig,
        {
            "d_model": 24,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "max_position_embeddings": 128,
            "decoder_start_token_id": 1,
        },
    ),
    "llama": (
        LlamaConfig,
        {
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
        },
    ),
}


def write_seq2seq_world(folder):
    """tiny_run's tasks with the models `t5` (little trained), `bart` (random), `llama` (trained more)."""
    write_world(folder)
    tokenizer = make_tokenizer()
    ended = copy.deepcopy(tokenizer)
    ended._tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    write_learned(folder / "t5", "t5", ended, n_step=40)
    write_learned(folder / "bart", "bart", ended, n_step=0)
    write_learned(folder / "llama", "llama", tokenizer, n_step=150)
    return folder


def write_learned(folder, family, tokenizer, *, n_step, seed=0):
    """A model trained on the answers of tiny_run's training rows by its own loss of labels."""
    kind, sizes = SIZES[family]
    ids = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1, "decoder_start_token_id": 0}
    config = kind(vocab_size=len(tokenizer), **(ids | sizes))
    make = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    rows = [Row(**_row(task, i)) for task in TASKS.values() for i in range(20)]
    start = config.decoder_start_token_id if config.is_encoder_decoder else None
    examples = encode(rows, tokenizer, template="plain", max_length=LENGTH, decoder_start=start)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = make.from_config(copy.deepcopy(config)).train()
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.003)
        for step in range(n_step):
            batch = next(batches(examples, 20, 0, shuffle_seed=step))
            labels = torch.where(batch.mask, batch.targets, -100)
            if start is None:  # which shifts its labels itself
                labels = torch.cat([torch.full_like(labels[:, :1], -100), labels[:, :-1]], 1)
                given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
            else:
                given = {
                    "input_ids": batch.encoder.input_ids,
                    "attention_mask": batch.encoder.attention_mask,
                    "decoder_input_ids": batch.input_ids,
                }
            module(**given, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    module.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert AutoConfig.from_pretrained(folder).model_type == config.model_type


def _row(task, i):
    row = task["rows"](i)
    return {"id": row["id"], "task": "t", "prompt": row["prompt"], "answer": row["answer"]}
