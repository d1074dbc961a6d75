"""Trains a small encoder-decoder on the corpus of the embedded pair, as a student or a teacher beside it.

python pairs/seq2seq.py t5 --out FOLDER      a T5 1.1 with three layers in each part, about 3 minutes of one thread
python pairs/seq2seq.py bart --out FOLDER    a BART of the same size
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from corpus import documents, make_splits
from torch.optim.lr_scheduler import LambdaLR
from train import POOL, rate
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, BartConfig, GenerationConfig, T5Config

from semalign.data import Batch, Row, collate, encode
from semalign.embedded import student_folder

STEPS, ROWS, LEARNING_RATE, SEED = 450, 40, 2e-3, 5
IDS = {"pad_token_id": 1, "bos_token_id": None, "eos_token_id": 0, "decoder_start_token_id": 1}
WIDTH, INNER, HEADS, LAYERS = 96, 256, 3, 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=("t5", "bart"))
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; it must not exist")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"optimiser steps of {ROWS} rows (default: {STEPS})")
    given = parser.parse_args()
    if given.out.exists():
        print(f"{given.out} exists; name another folder", file=sys.stderr)
        return 2
    train(given.family, given.out, given.steps)
    return 0


def config_of(family: str, vocabulary: int) -> T5Config | BartConfig:
    if family == "t5":
        sizes = {"d_kv": WIDTH // HEADS, "d_ff": INNER, "num_heads": HEADS, "num_layers": LAYERS}
        return T5Config(
            vocab_size=vocabulary,
            d_model=WIDTH,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
            dropout_rate=0.0,
            **sizes,
            **IDS,
        )
    sizes = {f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in PART.items()}
    return BartConfig(vocab_size=vocabulary, d_model=WIDTH, dropout=0.0, max_position_embeddings=512, **sizes, **IDS)


PART = {"layers": LAYERS, "attention_heads": HEADS, "ffn_dim": 2 * INNER}


def train(family: str, folder: Path, n_steps: int) -> None:
    """Trains the model on one thread and saves it in bfloat16 with the pair's tokenizer."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(student_folder())
    model = AutoModelForSeq2SeqLM.from_config(config_of(family, len(tokenizer))).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = LambdaLR(optimizer, lambda step: rate(step, n_steps))
    started, running = time.time(), 0.0
    for step, batch in enumerate(islice(batches(tokenizer), n_steps), start=1):
        assert batch.encoder is not None
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(
                input_ids=batch.encoder.input_ids,
                attention_mask=batch.encoder.attention_mask,
                decoder_input_ids=batch.input_ids,
                labels=torch.where(batch.mask, batch.targets, -100),
            ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        model.zero_grad()
        running = loss.item() if step == 1 else 0.95 * running + 0.05 * loss.item()
        if step % 50 == 0 or step == n_steps:
            line = {"model": family, "step": step, "loss": round(running, 4), "seconds": round(time.time() - started)}
            print(json.dumps(line), flush=True)
    model.generation_config = GenerationConfig(**IDS, do_sample=False)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def batches(tokenizer: AutoTokenizer) -> Iterator[Batch]:
    """Endless batches of documents with a prompt, of about one length, in random order within a pool."""
    rng = random.Random(SEED)
    stream = ((prompt, answer) for prompt, answer in documents(make_splits(), SEED) if prompt)
    while True:
        rows = [Row(str(i), "corpus", *pair) for i, pair in enumerate(islice(stream, POOL))]
        pool = encode(rows, tokenizer, template="plain", max_length=512, decoder_start=IDS["decoder_start_token_id"])
        pool.sort(key=lambda row: row.n_read)
        groups = [pool[i : i + ROWS] for i in range(0, len(pool), ROWS)]
        rng.shuffle(groups)
        yield from (collate(group, IDS["pad_token_id"]) for group in groups)


if __name__ == "__main__":
    sys.exit(main())
