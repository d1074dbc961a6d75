"""A teacher and a student in memory with weights by formula, so that numbers on file outlive any random generator."""

import torch
from tiny import tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from semalign.data import Example, batches
from semalign.methods import MethodContext
from semalign.models import SharedTokens, assemble, lora

N_ROW = 53
PAD, EOS = 0, 2
TEACHER = {"n_layer": 5, "width": 24, "inner": 40, "n_head": 4, "stream": 1}
STUDENT = {"n_layer": 3, "width": 16, "inner": 28, "n_head": 2, "stream": 2}


def hashed(*shape, stream):
    """Numbers in [-1, 1) from integer arithmetic alone: the same on every machine and in every version of torch."""
    n = torch.Size(shape).numel()
    x = (torch.arange(n) + 0x9E37 * (stream + 1)) & 0xFFFFFFFF
    for factor in (0x2C1B3C6D, 0x297A2D39):
        x = ((x ^ (x >> 15)) * factor) & 0xFFFFFFFF
    return ((x ^ (x >> 15)).double() / 2**31 - 1).reshape(shape)


@torch.no_grad()
def fill(named_parameters, stream=0):
    """Norms near 1, matrices with rows of about unit length."""
    for i, (_, parameter) in enumerate(sorted(named_parameters)):
        values = hashed(*parameter.shape, stream=1000 * stream + i)
        parameter.copy_(1 + 0.2 * values if parameter.dim() == 1 else values * (3 / parameter.shape[1]) ** 0.5)


def make_model(*, n_layer, width, inner, n_head, stream, dtype=torch.float64):
    config = LlamaConfig(
        vocab_size=N_ROW,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=n_layer,
        num_attention_heads=n_head,
        num_key_value_heads=n_head // 2,
        max_position_embeddings=64,
        pad_token_id=PAD,
        bos_token_id=1,
        eos_token_id=EOS,
    )
    module = LlamaForCausalLM(config).to(dtype).eval()
    fill(module.named_parameters(), stream)
    return assemble(f"formula-{n_layer}x{width}", module, tiny_tokenizer())


def make_examples(n, *, longest=17, task="sums"):
    """Rows of different lengths, prompt and answer of at least two tokens each."""
    rows = []
    for i in range(n):
        length = 5 + (7 * i) % (longest - 4)
        ids = [3 + (11 * i + 5 * j * j + j) % (N_ROW - 3) for j in range(length - 1)] + [EOS]
        rows.append(Example(f"row{i}", task, ids, 2 + i % (length - 3), 3, False))
    return rows


def make_context(*, teacher=None, student=None, seed=0):
    return MethodContext(
        teacher=teacher or make_model(**TEACHER),
        student=student or make_model(**STUDENT),
        tokens=SharedTokens.of_one(torch.arange(N_ROW)),
        extract=list(batches(make_examples(5), 3, PAD)),
        calibration=list(batches(make_examples(9), 4, PAD)),
        seed=seed,
    )


def adapted_step(method, context, *, dropout=0.0, rank=3, seed=0, by_formula=True):
    """Plan, adapters on the student and the step; adapters start away from 0, so that all of them have a gradient."""
    plan = method.plan(context)
    adapter = lora(context.student, plan.layers, rank=rank, alpha=4, dropout=dropout, seed=seed)
    trainable = [(name, p) for name, p in adapter.named_parameters() if p.requires_grad]
    if by_formula:
        fill(trainable, stream=7)
        with torch.no_grad():
            for _, parameter in trainable:
                parameter.mul_(0.3)
    return adapter, plan, method.step(context, plan)


def trainable(module):
    return {name: p for name, p in module.named_parameters() if p.requires_grad}
