"""Which tokens a term sees: answers, or prompts too, and never padding."""

import pytest
import torch
from pair import PAD, adapted_step, make_context, make_examples, trainable

from semalign.data import collate
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.kl import ForwardKL
from semalign.methods.logit_kd import LogitKD
from semalign.methods.positions import positions_of
from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.pairing.depth import Depth


def test_all_positions_have_a_next_token_and_are_not_the_first():
    batch = collate(make_examples(6), PAD)
    mask = positions_of(batch, "all")
    lengths = batch.attention_mask.sum(1)
    for row, length in enumerate(lengths.tolist()):
        expected = [1 <= pos < length - 1 for pos in range(mask.shape[1])]
        assert (mask[row] | batch.mask[row]).tolist() == [
            a or b for a, b in zip(expected, batch.mask[row], strict=True)
        ]
        assert not mask[row, length - 1 :].any()
    assert (mask & batch.mask).sum() == batch.mask.sum()
    assert mask.sum() > batch.mask.sum()
    assert torch.equal(positions_of(batch, "answer"), batch.mask)


@pytest.mark.parametrize(
    "method",
    [
        SFT(positions="all"),
        LogitKD(positions="all"),
        SemAlign(site="block_out", pairing=Depth(), outputs=(ForwardKL(),), positions="all"),
    ],
    ids=lambda method: method.name,
)
def test_prompts_count_where_all_positions_do(method):
    """Another prompt token changes the loss at its own position; with answers alone only what follows from it does."""
    batch = collate(make_examples(5), PAD)
    for positions in ("all", "answer"):
        _, _, step = adapted_step(method.replace(positions=positions), make_context())
        units = step.units(batch)
        n_position = int(positions_of(batch, positions).sum())
        assert set(units.values()) <= {n_position, 3 * n_position}


def test_gold_tokens_are_asked_for_in_the_answer_only():
    batch = collate(make_examples(5), PAD)
    found = {}
    for positions in ("all", "answer"):
        method = SemAlign(pairing=Depth(), outputs=(CrossEntropy(), ForwardKL()), positions=positions)
        _, _, step = adapted_step(method, make_context())
        _, totals, _ = step(batch, step.units(batch))
        found[positions] = totals
    assert found["all"]["cross_entropy"] == pytest.approx(float(found["answer"]["cross_entropy"]), rel=1e-12)
    assert found["all"]["kl"] > found["answer"]["kl"]


def test_the_plain_sum_over_all_positions_is_the_loss():
    batch = collate(make_examples(4), PAD)
    context = make_context()
    _, _, step = adapted_step(SFT(positions="all"), context)
    loss, _, _ = step(batch, step.units(batch))
    logits = context.student.module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    costs = []
    for row, length in enumerate(batch.attention_mask.sum(1).tolist()):
        for pos in range(length - 1):
            if pos > 0 or batch.mask[row, 0]:
                costs.append(-torch.log_softmax(logits[row, pos], -1)[batch.input_ids[row, pos + 1]])
    torch.testing.assert_close(loss, torch.stack(costs).mean(), rtol=1e-10, atol=0)
    assert trainable(step)
