"""Attention patterns: a model looks where it looks itself, and what is measured is the plain coefficient."""

from itertools import pairwise

import pytest
import torch
from tiny import tiny, tokens

from semalign.data import Example, collate
from semalign.data.tokens import TeacherExample
from semalign.pairing.attention_patterns import attention_similarity


@pytest.fixture
def batch():
    rows = [Example(str(i), "t", tokens(n, seed=i).tolist(), n // 2, 1, False) for i, n in enumerate((11, 8))]
    return collate(rows, pad_id=0)


@torch.no_grad()
def weights(model, ids):
    model.module.set_attn_implementation("eager")
    return model.module.base_model(input_ids=ids[None], output_attentions=True).attentions


@torch.no_grad()
def plain(teacher, student, batch):
    """Query by query, head by head."""
    n_s, n_t = student.n_layer, teacher.n_layer
    heads = [model.module.config.num_attention_heads for model in (student, teacher)]
    sums, n = torch.zeros(n_s, heads[0], n_t, heads[1], dtype=torch.float64), 0
    for row in range(len(batch.ids)):
        ids = batch.input_ids[row, : int(batch.attention_mask[row].sum())]
        ours, theirs = weights(student, ids), weights(teacher, ids)
        for query in batch.mask[row].nonzero()[:, 0].tolist():
            n += 1
            for s in range(n_s):
                for t in range(n_t):
                    for h in range(heads[0]):
                        for g in range(heads[1]):
                            p, q = (x[0, k, query, 1:].double() for x, k in ((ours[s], h), (theirs[t], g)))
                            sums[s, h, t, g] += (p / p.sum() * q / q.sum()).sqrt().sum()
    return (sums / n).amax(3).mean(1)


def test_it_is_the_coefficient_of_every_two_heads(batch):
    teacher, student = tiny(n_layer=3, seed=1), tiny(n_layer=2, seed=2)
    found = attention_similarity(teacher, student, [batch])
    assert torch.allclose(found, plain(teacher, student, batch), atol=1e-5)


def test_a_layer_looks_most_like_itself(batch):
    model = tiny(n_layer=3, seed=1)
    found = attention_similarity(model, model, [batch])
    assert torch.allclose(found.diagonal(), torch.ones(3, dtype=torch.float64), atol=1e-6)
    assert (found <= found.diagonal()[:, None] + 1e-9).all()


def test_the_model_keeps_its_kind_of_attention(batch):
    model = tiny(n_layer=2, seed=1)
    before = model.module.config._attn_implementation
    attention_similarity(model, model, [batch])
    assert model.module.config._attn_implementation == before


def test_other_tokens_of_the_same_text_are_summed_between_aligned_positions():
    """Two teacher tokens stand for one of the student's: the weights of both count as one."""
    model = tiny(n_layer=2, seed=3)
    ids = tokens(9, seed=4).tolist()
    twice = [ids[0], ids[1], *(token for token in ids[2:] for _ in range(2))]
    positions = [0, 1, *range(3, 3 + 2 * len(ids[2:]), 2)]
    teacher = TeacherExample(Example("a", "t", twice, 4, 1, False), positions, positions)
    batch = collate([Example("a", "t", ids, 3, 1, False, teacher)], pad_id=0)
    found = attention_similarity(model, model, [batch])
    ours, theirs = weights(model, torch.tensor(ids)), weights(model, torch.tensor(twice))
    coefficient, queries = torch.zeros(4, 4, dtype=torch.float64), batch.mask[0].nonzero()[:, 0].tolist()
    for query in queries:
        p, q = ours[0][0, :, query].double(), theirs[1][0, :, positions[query]].double()
        q = torch.stack([q[:, a + 1 : b + 1].sum(-1) for a, b in pairwise(positions)], -1)
        p = p[:, 1:]
        p, q = (x / x.sum(-1, keepdim=True) for x in (p, q))
        coefficient += p.sqrt() @ q.sqrt().T / len(queries)
    assert float(found[0, 1]) == pytest.approx(float(coefficient.amax(1).mean()), abs=1e-5)
