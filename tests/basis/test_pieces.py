"""Maps that are fitted on tokens in pieces too: the rows against the plain definition, and what they change."""

import copy
from dataclasses import replace

import pytest
import torch
from tiny import tiny
from trained import trained

from semalign.basis import MapContext
from semalign.basis.cosine import Cosine
from semalign.basis.input_side import InputSide
from semalign.basis.logit import Logit
from semalign.basis.permuted import Permuted
from semalign.basis.sparse import Sparse
from semalign.errors import UserError
from semalign.methods.refuse import refuse_pieces
from semalign.models import shared_tokens
from semalign.models.first_token import NONE, first_tokens
from semalign.models.in_pieces import in_pieces
from semalign.tokenizers import token_bytes

SCHEMES = ("byte_level", "sentencepiece_llama")


def model_of(scheme, seed, **sizes):
    tokenizer = copy.deepcopy(trained(scheme))
    torch.manual_seed(seed)
    return replace(tiny("llama", n_row=len(tokenizer) + 5, **sizes), tokenizer=tokenizer)


@pytest.fixture(scope="module", params=[SCHEMES, SCHEMES[::-1]], ids="-".join)
def context(request):
    teacher, student = model_of(request.param[0], 0, width=24), model_of(request.param[1], 1, width=16, n_head=2)
    return MapContext(
        teacher=teacher,
        student=student,
        tokens=shared_tokens(teacher, student),
        batches=(),
        pairs={0: ((0, 1.0),), 1: ((1, 1.0),)},
        site="block_out",
    )


def plain(context):
    """By teacher token that has no equal, the student's tokens that write its bytes, where there are any."""
    meant_t, meant_s = (token_bytes(model.tokenizer) for model in (context.teacher, context.student))
    common, found = set(context.tokens.teacher.tolist()), {}
    for token, meant in enumerate(meant_t):
        if meant is None or token in common or meant.decode(errors="ignore").encode() != meant:
            continue
        for text in (meant.decode(), meant.decode().removeprefix(" ")):
            ids = context.student.tokenizer(text, add_special_tokens=False).input_ids
            if ids and b"".join(meant_s[i] or b"" for i in ids) == meant:
                found[token] = ids
                break
    return found


def test_tokens_in_pieces_are_those_that_the_students_tokenizer_writes(context):
    expected = plain(context)
    assert len(expected) > 5
    assert any(len(ids) > 2 for ids in expected.values())
    assert in_pieces(context.teacher, context.student, context.tokens) == expected
    first = first_tokens(context.teacher, context.student, context.tokens)
    assert [first[token] for token in expected] == [ids[0] for ids in expected.values()]
    rest = sorted(set(range(context.teacher.n_token)) - expected.keys() - set(context.tokens.teacher.tolist()))
    assert (first[rest] == NONE).all()


def test_rows_of_common_tokens_are_those_of_the_matched_ids(context):
    tokens, models = context.tokens, (context.teacher, context.student)
    assert 5 < len(tokens) < context.student.n_token
    meant = [token_bytes(model.tokenizer) for model in models]
    pairs = list(zip(tokens.teacher.tolist(), tokens.student.tolist(), strict=True))
    assert all(meant[0][t] == meant[1][s] for t, s in pairs)
    for side, vocabulary in enumerate(context.vocabularies()):
        assert len(vocabulary.head) == len(vocabulary.embedding) == len(pairs)
        for i, pair in enumerate(pairs):
            assert torch.equal(vocabulary.head[i], models[side].head_weight[pair[side]])
            assert torch.equal(vocabulary.embedding[i], models[side].embedding_weight[pair[side]])


@pytest.mark.parametrize("pieces", ["mean", "first"])
def test_rows_of_tokens_in_pieces_follow_the_common_ones(context, pieces):
    expected, n = plain(context), len(context.tokens)
    common, with_pieces = context.vocabularies(), context.vocabularies(pieces)
    for few, more in zip(common, with_pieces, strict=True):
        assert len(more.head) == len(more.embedding) == n + len(expected)
        for name in ("head", "embedding"):
            assert torch.equal(getattr(more, name)[:n], getattr(few, name))
        assert torch.equal(more.gain, few.gain)
    teacher, student = with_pieces
    for place, (token, ids) in enumerate(expected.items(), start=n):
        used = ids if pieces == "mean" else ids[:1]
        for name in ("head", "embedding"):
            own, theirs = (getattr(model, f"{name}_weight") for model in (context.student, context.teacher))
            torch.testing.assert_close(getattr(student, name)[place], sum(own[i] for i in used) / len(used))
            assert torch.equal(getattr(teacher, name)[place], theirs[token])


def test_means_of_half_precision_rows_are_taken_in_float32(context):
    small = context.student.module.to(torch.bfloat16)
    try:
        assert small.dtype == torch.bfloat16
        (*_, head) = (side.head for side in context.vocabularies("mean"))
        assert head.dtype == torch.bfloat16
        rows = context.student.head_weight
        for place, ids in enumerate(plain(context).values(), start=len(context.tokens)):
            assert torch.equal(head[place], (sum(rows[i].float() for i in ids) / len(ids)).bfloat16())
    finally:
        small.to(torch.float64)


@pytest.mark.parametrize(
    "basis", [Cosine(), Logit(), Sparse(top_k=3), InputSide(), Permuted(of=Logit(), seed=0)], ids=lambda b: b.name
)
def test_a_map_is_that_of_the_longer_vocabularies(basis, context):
    inner = getattr(basis, "of", None)
    longer = basis.replace(pieces="mean") if inner is None else basis.replace(of=inner.replace(pieces="mean"))
    maps = longer.fit_pairs(context)
    assert maps[0] is maps[1]
    expected = basis.fit(*context.vocabularies("mean"))
    assert maps[0].n_token == expected.n_token > len(context.tokens)
    for name, tensor in expected.tensors().items():
        assert torch.equal(maps[0].tensors()[name], tensor)
    (usual, _) = basis.fit_pairs(context).values()
    assert usual.n_token == len(context.tokens)


def test_one_tokenizer_has_no_pieces_and_asking_for_them_is_refused(context):
    teacher = context.teacher
    twin = MapContext(
        teacher=teacher,
        student=teacher,
        tokens=shared_tokens(teacher, teacher),
        batches=(),
        pairs={0: ((0, 1.0),)},
        site="block_out",
    )
    assert in_pieces(teacher, teacher, twin.tokens) == {}
    one, two = twin.vocabularies("mean")
    assert one is two
    for basis in (Logit(pieces="mean"), Permuted(of=Cosine(pieces="first"))):
        with pytest.raises(UserError, match=r"'pieces' has no effect, .* have one tokenizer; leave it out"):
            refuse_pieces(basis, teacher, teacher)
        refuse_pieces(basis, teacher, context.student)
    refuse_pieces(Logit(), teacher, teacher)
