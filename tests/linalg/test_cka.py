"""Linear CKA: its formula by Gram matrices, what it is blind to, and that batches change nothing."""

import pytest
import torch

from semalign.errors import UserError
from semalign.linalg.cka import BLOCK, CrossCKA, linear_cka


def plain_cka(x, y):
    """Kornblith et al. 2019, eq. 3, by n x n Gram matrices and an explicit centring matrix."""
    n = x.shape[0]
    centre = torch.eye(n, dtype=torch.float64) - 1 / n
    k, m = (centre @ (a.double() @ a.double().T) @ centre for a in (x, y))
    return float((k * m).sum() / (k.norm() * m.norm()))


def states(n, d, seed, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def rotation(d, seed):
    return torch.linalg.qr(states(d, d, seed))[0]


@pytest.mark.parametrize(("n", "d1", "d2"), [(31, 5, 9), (7, 20, 12), (2, 3, 4), (23, 1, 6)])
def test_it_is_the_formula(n, d1, d2):
    x, y = states(n, d1, 0) + 3, states(n, d2, 1)
    y[:, 0] += x[:, 0]
    assert linear_cka(x, y) == pytest.approx(plain_cka(x, y), abs=1e-12)
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x), abs=1e-12)


def test_it_is_blind_to_rotation_scale_and_shift():
    x, y = states(31, 5, 0), states(31, 9, 1)
    same = linear_cka(x, y)
    assert linear_cka(4 * x @ rotation(5, 2) + states(1, 5, 3), y) == pytest.approx(same, abs=1e-12)
    assert linear_cka(x, 0.1 * y @ rotation(9, 2) - 7) == pytest.approx(same, abs=1e-12)
    assert linear_cka(x, x @ rotation(5, 4) * 2 + 1) == pytest.approx(1, abs=1e-12)


def test_it_is_not_blind_to_a_stretch_of_one_direction():
    x = states(31, 5, 0)
    assert linear_cka(x, x * torch.tensor([9.0, 1, 1, 1, 1]).double()) < 0.9


def test_states_that_share_nothing_are_at_zero():
    x, y = torch.zeros(4, 2).double(), torch.zeros(4, 3).double()
    x[:, 0], y[:, 0] = torch.tensor([1.0, -1, 1, -1]), torch.tensor([1.0, 1, -1, -1])
    assert linear_cka(x, y) == pytest.approx(0, abs=1e-15)


def test_a_large_common_offset_costs_no_digits():
    """Transformer states hold channels of thousands; what varies beside them must be seen."""
    x, y = states(31, 5, 0), states(31, 9, 1)
    assert linear_cka(x + 1e5, y - 1e5) == pytest.approx(linear_cka(x, y), abs=1e-9)


def test_constant_states_are_like_nothing():
    still = (torch.ones(31, 3).double() / 3).expand(31, 3)
    assert linear_cka(still, states(31, 4, 0)) == 0
    assert linear_cka(still, still) == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_batches_change_nothing(dtype):
    xs = [states(37, d, d, dtype) for d in (4, 6, 3)]
    ys = [states(37, d, d, dtype) for d in (8, 5)]
    streamed = CrossCKA()
    for part in (slice(0, 11), slice(11, 12), slice(12, 37)):
        streamed.update([x[part] for x in xs], [y[part] for y in ys])
    matrix = streamed.matrix()
    assert matrix.shape == (3, 2)
    assert matrix.dtype == torch.float64
    for i, x in enumerate(xs):
        for j, y in enumerate(ys):
            assert float(matrix[i, j]) == pytest.approx(plain_cka(x, y), abs=1e-10)


def test_blocks_of_columns_change_nothing(monkeypatch):
    xs, ys = [states(37, d, d) for d in (4, 6)], [states(37, d, d + 1) for d in (8, 5, 3)]
    matrices = []
    for block in (BLOCK, 5 * 37, 1):
        monkeypatch.setattr("semalign.linalg.cka.BLOCK", block)
        similarity = CrossCKA()
        similarity.update(xs, ys)
        matrices.append(similarity.matrix())
    assert torch.allclose(matrices[0], matrices[1], atol=1e-14)
    assert torch.allclose(matrices[0], matrices[2], atol=1e-14)


def test_a_state_that_is_no_number_is_seen_in_its_layers_only():
    x, bad = states(9, 4, 0), states(9, 4, 1)
    bad[3, 2] = torch.nan
    similarity = CrossCKA()
    similarity.update([x, bad], [x])
    assert similarity.matrix()[:, 0].isnan().tolist() == [False, True]


def test_graphs_are_not_kept():
    x = states(9, 4, 0).requires_grad_()
    similarity = CrossCKA()
    similarity.update([x], [x])
    assert not similarity.matrix().requires_grad


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_positions_are_refused(n):
    similarity = CrossCKA()
    if n:
        similarity.update([states(1, 4, 0)], [states(1, 3, 0)])
    with pytest.raises(UserError, match=f"CKA needs at least two positions, got {n}"):
        similarity.matrix()
