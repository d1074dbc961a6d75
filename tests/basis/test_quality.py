"""The quality of a map is what its plain definition says, and 1 where a perfect map is planted."""

import dataclasses

import pytest
import torch
from tiny import tiny, tokens

from semalign.basis import Vocabulary
from semalign.basis.cosine import Cosine
from semalign.basis.identity import Identity
from semalign.basis.logit import Logit
from semalign.basis.permuted import Permuted
from semalign.basis.quality import agreement, reconstruction
from semalign.basis.random import Random
from semalign.data import Example, collate
from semalign.models import SharedTokens


def batch_of(*sizes):
    rows = [(tokens(length, seed=length).tolist(), n_prompt) for length, n_prompt in sizes]
    return collate([Example(str(i), "t", row, n, 1, False) for i, (row, n) in enumerate(rows)], pad_id=0)


BATCHES = [batch_of((9, 4), (5, 2)), batch_of((7, 3))]


@pytest.fixture(scope="module")
def teacher():
    return tiny("llama", width=24, n_layer=3, seed=1)


@pytest.fixture(scope="module")
def student():
    return tiny("llama", width=16, n_layer=2, seed=2)


@pytest.fixture(scope="module")
def shared(teacher):
    """Some of the tokens, not in order, as where two tokenizers share only a part."""
    return torch.randperm(teacher.n_token, generator=torch.Generator().manual_seed(0))[:150]


def fit(basis, teacher, student, shared):
    return basis.fit(Vocabulary.of(teacher, shared), Vocabulary.of(student, shared))


@torch.no_grad()
def plain_agreement(fitted, teacher, student, shared, batches):
    top1, top5, correlations = [], [], []
    for batch in batches:
        states = teacher.module(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True
        ).hidden_states[-1]
        for i, pos in batch.mask.nonzero().tolist():
            h = states[i, pos]
            theirs = (teacher.head_weight[shared] @ h).tolist()
            ours = (student.head_weight[shared] @ fitted(h)).tolist()
            best = max(range(len(shared)), key=theirs.__getitem__)
            order = sorted(range(len(shared)), key=ours.__getitem__, reverse=True)
            top1.append(best == order[0])
            top5.append(best in order[:5])
            correlations.append(torch.corrcoef(torch.tensor([theirs, ours]))[0, 1])
    return sum(top1) / len(top1), sum(top5) / len(top5), sum(correlations) / len(correlations)


@pytest.mark.parametrize("basis", [Cosine(), Logit()], ids=lambda basis: basis.name)
def test_agreement_is_its_plain_version(basis, teacher, student, shared):
    fitted = fit(basis, teacher, student, shared)
    found = agreement(fitted, teacher, student, SharedTokens.of_one(shared), BATCHES)
    top1, top5, correlation = plain_agreement(fitted, teacher, student, shared, BATCHES)
    assert found["agreement_top1"] == pytest.approx(top1, abs=1e-12)
    assert found["agreement_top5"] == pytest.approx(top5, abs=1e-12)
    assert found["row_correlation"] == pytest.approx(float(correlation), abs=1e-5)
    assert found["tokens_used"] == 150
    assert found["condition"] == pytest.approx(float(torch.linalg.cond(student.head_weight[shared].detach())), rel=1e-6)
    assert 0 < top5 < 1


def test_a_planted_perfect_map_agrees_everywhere_and_its_permutation_nowhere(shared):
    teacher, student = tiny("llama", width=8, n_layer=1, seed=1), tiny("llama", width=16, n_layer=2, seed=2)
    with torch.no_grad():
        teacher.head_weight.copy_(student.head_weight @ torch.randn(16, 8, dtype=torch.float64))
    found = agreement(fit(Logit(), teacher, student, shared), teacher, student, SharedTokens.of_one(shared), BATCHES)
    assert found["agreement_top1"] == found["agreement_top5"] == 1.0
    assert found["row_correlation"] == pytest.approx(1, abs=1e-6)
    spoiled = agreement(
        fit(Permuted(of=Logit()), teacher, student, shared), teacher, student, SharedTokens.of_one(shared), BATCHES
    )
    assert spoiled["agreement_top1"] < 0.2
    assert abs(spoiled["row_correlation"]) < 0.4


def test_a_model_agrees_with_itself(teacher, shared):
    found = agreement(fit(Identity(), teacher, teacher, shared), teacher, teacher, SharedTokens.of_one(shared), BATCHES)
    assert found["agreement_top1"] == 1.0
    assert found["row_correlation"] == pytest.approx(1, abs=1e-6)


def test_batches_change_nothing(teacher, student, shared):
    fitted = fit(Cosine(), teacher, student, shared)
    rows = [batch_of((9, 4)), batch_of((5, 2)), batch_of((7, 3))]
    one, two = (
        agreement(fitted, teacher, student, SharedTokens.of_one(shared), batches) for batches in (BATCHES, rows)
    )
    assert one == pytest.approx(two, abs=1e-6)


def test_a_condition_without_a_number_is_written_as_none(teacher, student, shared):
    fitted = dataclasses.replace(fit(Logit(), teacher, student, shared), condition=float("inf"))
    assert agreement(fitted, teacher, student, SharedTokens.of_one(shared), BATCHES)["condition"] is None


@pytest.mark.parametrize("dtypes", [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)], ids=str)
def test_two_models_may_be_of_two_precisions(dtypes, shared):
    teacher, student = tiny(width=24, n_layer=1, dtype=dtypes[0]), tiny(width=16, n_layer=1, dtype=dtypes[1])
    found = agreement(fit(Logit(), teacher, student, shared), teacher, student, SharedTokens.of_one(shared), BATCHES)
    assert -1 <= found["row_correlation"] <= 1


# reconstruction


@torch.no_grad()
def plain_reconstruction(basis, model, shared, batches):
    vocabulary = Vocabulary.of(model, shared)
    fitted = basis.fit(vocabulary, vocabulary)
    totals, n = [0.0] * model.n_layer, 0
    for batch in batches:
        for i, length in enumerate(batch.attention_mask.sum(1).tolist()):
            alone = batch.input_ids[i : i + 1, :length]
            states = model.module(input_ids=alone, output_hidden_states=True).hidden_states
            states = [*states[1:-1], model.module.model.layers[-1](states[-2], **_rotary(model, states[-2]))]
            for layer, state in enumerate(states):
                for h in state[0].float():
                    image = fitted(h)
                    totals[layer] += float(h @ image / (h.norm() * image.norm()))
            n += length
    return [total / n for total in totals]


def _rotary(model, state):
    positions = torch.arange(state.shape[1])[None]
    return {
        "position_embeddings": model.module.model.rotary_emb(state, positions),
        "attention_mask": torch.full((state.shape[1],) * 2, float("-inf"), dtype=state.dtype).triu(1)[None, None],
    }


@pytest.mark.parametrize("basis", [Cosine(), Random()], ids=lambda basis: basis.name)
def test_reconstruction_is_its_plain_version(basis, teacher, shared):
    expected = plain_reconstruction(basis, teacher, shared, BATCHES)
    found = reconstruction(basis, teacher, shared, BATCHES, "block_out")
    assert found.tolist() == pytest.approx(expected, abs=1e-5)
    assert len(set(found.tolist())) == 3


@pytest.mark.parametrize("site", ["attn_out", "mlp_out", "block_delta", "block_out"])
def test_the_logit_basis_reconstructs_everything_by_construction(teacher, shared, site):
    found = reconstruction(Logit(), teacher, shared, BATCHES, site)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_random_bases_reconstruct_better_than_the_papers(teacher, shared):
    # Fig. 2's control: 150 tokens in 24 dimensions, 1 / sqrt(1 + 24 / 150) = 0.93
    random = reconstruction(Random(), teacher, shared, BATCHES, "block_out")
    assert random.mean().item() == pytest.approx((1 + 24 / 150) ** -0.5, abs=0.05)
    control = reconstruction(Permuted(), teacher, shared, BATCHES, "block_out")
    assert control.abs().max() < 0.6
