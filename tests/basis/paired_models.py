"""Pairs of tiny models with something planted between them, rows for both, and their states the plain way."""

import torch
from tiny import tiny, tokens

from semalign.basis import MapContext
from semalign.data import Example, collate
from semalign.models import SharedTokens

N_LAYER, D = 3, 24
SIZES = {"n_layer": N_LAYER, "head_dim": 6, "rms_norm_eps": 1e-30}  # no epsilon: norms of other widths are the same
PAIRS = {0: ((1, 1.0),), 2: ((0, 0.3), (2, 0.7))}


def rows(*lengths):
    """Examples of these lengths; the answer is the second half."""
    return [
        Example(str(i), "t", tokens(length, seed=50 + i).tolist(), length // 2, 1, False)
        for i, length in enumerate(lengths)
    ]


LENGTHS = (17, 9, 14, 11, 16, 8, 13, 19, 12, 15, 10, 18)
BATCHES = [collate(rows(*LENGTHS), pad_id=0)]


def rotation(d_s, d_t):
    tall = torch.linalg.qr(torch.randn(max(d_s, d_t), min(d_s, d_t), dtype=torch.float64))[0]
    return tall if d_s >= d_t else tall.T


@torch.no_grad()
def twins(turn):
    """Two llamas that compute the same, the second with a residual stream that is turned (and may be wider)."""
    d_s, d_t = turn.shape
    one, two = tiny("llama", width=d_t, **SIZES), tiny("llama", width=d_s, **SIZES)
    root = (d_t / d_s) ** 0.5  # a norm divides by the root of the mean, so by less in a wider stream
    for name, weight in one.module.named_parameters():
        own = two.module.get_parameter(name)
        if weight.dim() == 1:
            weight.fill_(1.0)
            own.fill_(1.0)
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            own.copy_(turn @ weight)
        elif "embed_tokens" in name:
            own.copy_(weight @ turn.T)
        else:
            own.copy_(root * weight @ turn.T)
    return one, two


def context_of(teacher, student, *, batches=BATCHES, pairs=None, site="block_out"):
    pairs = pairs or {layer: ((layer, 1.0),) for layer in range(N_LAYER)}
    return MapContext(
        teacher=teacher,
        student=student,
        tokens=SharedTokens.of_one(torch.arange(200)),
        batches=batches,
        pairs=pairs,
        site=site,
    )


@torch.no_grad()
def plain_states(context, positions):
    """By row and pair: teacher and student states, every model run on one row alone and without padding."""
    found = {layer: [] for layer in context.pairs}
    for example in rows(*LENGTHS):
        heard = []
        for model in (context.teacher, context.student):
            states = {}
            handles = [
                block.register_forward_hook(lambda _m, _a, out, i=i, states=states: states.update({i: out}))
                for i, block in enumerate(model.module.model.layers)
            ]
            model.module(input_ids=torch.tensor([example.input_ids]))
            for handle in handles:
                handle.remove()
            heard.append({i: out[0] if out.dim() == 3 else out for i, out in states.items()})
        last = len(example.input_ids)
        chosen = range(1, last) if positions == "all" else range(example.n_prompt - 1, last - 1)
        for layer, pair in context.pairs.items():
            x = sum(weight * heard[0][teacher] for teacher, weight in pair)[list(chosen)]
            found[layer].append((x, heard[1][layer][list(chosen)]))
    return found
