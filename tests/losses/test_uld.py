"""Sorted probabilities: vocabularies of two sizes, and blindness to which token has which probability."""

import math

import pytest
import torch

from semalign.losses.uld import ULD

N = 6
EVERYWHERE = torch.ones(N, dtype=torch.bool)


def plain(h, target):
    """One token, by lists."""
    powers = [[math.exp(z) for z in logits] for logits in (h, target)]
    p, q = (sorted((x / sum(side) for x in side), reverse=True) for side in powers)
    size = max(len(p), len(q))
    return sum(abs(a - b) for a, b in zip(p + [0] * (size - len(p)), q + [0] * (size - len(q)), strict=True))


@pytest.mark.parametrize(("n_student", "n_teacher"), [(5, 9), (9, 5)])
def test_the_smaller_vocabulary_is_filled_up(n_student, n_teacher):
    student, teacher = torch.randn(N, n_student).double(), torch.randn(N, n_teacher).double()
    expected = sum(plain(h, z) for h, z in zip(student.tolist(), teacher.tolist(), strict=True))
    assert ULD().total(student, teacher, EVERYWHERE).item() == pytest.approx(expected, abs=1e-12)
    assert torch.autograd.gradcheck(lambda h: ULD().total(h, teacher, EVERYWHERE), student.requires_grad_())


def test_no_position_costs_more_than_two_and_certain_against_uniform_costs_almost_that():
    certain, uniform = torch.tensor([[50.0] + [0.0] * 6]), torch.zeros(1, 4096)
    cost = ULD()(certain, uniform, torch.ones(1, dtype=torch.bool))
    assert cost.item() == pytest.approx(2 * (1 - 1 / 4096), abs=1e-6)


def test_tokens_may_trade_their_probabilities():
    student, teacher = torch.randn(N, 9).double(), torch.randn(N, 7).double()
    loss = ULD().total(student, teacher, EVERYWHERE)
    traded = ULD().total(student[:, torch.randperm(9)], teacher, EVERYWHERE)
    torch.testing.assert_close(traded, loss, rtol=1e-12, atol=0)  # sums over tokens in another order
    assert math.isclose(ULD().total(student[:, torch.randperm(9)], student, EVERYWHERE), 0, abs_tol=1e-12)
