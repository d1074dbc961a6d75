"""Pairs of tiny models of which one or both are encoder-decoders, their rows, and what a method gets of them."""

import copy
from dataclasses import replace

import torch
from tiny import tiny
from tiny_seq2seq import tiny_seq2seq
from trained import trained

from semalign.data import Row, batches, encode, encode_pair
from semalign.methods import MethodContext
from semalign.models import shared_tokens
from semalign.training import LoraOptions

TEXTS = ["12 or 345 apples", "the lazy dog sleeps", "print(add(1, 2))", "a café, a façade", "the song ends", "2019!"]
ROWS = [Row(str(i), "t", f"Say {text} again:\n", text) for i, text in enumerate(TEXTS)]
STILL = {"dropout": 0.0, "dropout_rate": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
SMALL, LARGE = {"n_layer": 2, "width": 24}, {"n_layer": 4, "width": 48}
ONE, TWO = ("byte_level", "byte_level"), ("byte_level_digits", "sentencepiece_llama")
PAIRS = {
    "llama to t5": (("llama", LARGE), ("t5", SMALL), ONE),
    "llama to t5, two tokenizers": (("llama", LARGE), ("t5", SMALL), TWO),
    "qwen2 to bart": (("qwen2", LARGE), ("bart", SMALL), ONE),
    "gemma3 to bart, two tokenizers": (("gemma3", LARGE), ("bart", SMALL), TWO),
    "t5 to llama": (("t5", LARGE), ("llama", SMALL), ONE),
    "bart to qwen2, two tokenizers": (("bart", LARGE), ("qwen2", SMALL), TWO),
    "t5 to t5: read alike": (("t5_gated", LARGE), ("t5", SMALL), ONE),
    "bart to t5: begun otherwise": (("bart", LARGE), ("t5", SMALL), ONE),
    "pegasus to bart, two tokenizers": (("pegasus", LARGE), ("bart", SMALL), TWO),
}


def pair_of(sides, schemes=ONE):
    models = []
    for (family, sizes), scheme in zip(sides, schemes, strict=True):
        tokenizer = copy.deepcopy(trained(scheme))
        make, own = (tiny, {}) if family in ("llama", "qwen2", "gemma3") else (tiny_seq2seq, STILL)
        model = make(family, n_row=len(tokenizer) + 5, dtype=torch.float32, **sizes, **own)
        models.append(replace(model, tokenizer=tokenizer))
    return models


def rows_of(teacher, student):
    starts = (student.decoder_start, teacher.decoder_start)
    how = {"template": "plain", "max_length": 60}
    if starts[0] == starts[1] and teacher.tokenizer.get_vocab() == student.tokenizer.get_vocab():
        return encode(ROWS, student.tokenizer, **how, decoder_start=starts[0])
    return encode_pair(ROWS, student.tokenizer, teacher.tokenizer, **how, starts=starts)


def context_of(teacher, student):
    rows = rows_of(teacher, student)
    context = MethodContext(
        teacher=teacher,
        student=student,
        tokens=shared_tokens(teacher, student),
        extract=list(batches(rows[:3], 2, 0)),
        calibration=list(batches(rows, 4, 0)),
        seed=0,
        lora=LoraOptions(rank=2, alpha=2, dropout=0),
    )
    return context, rows
