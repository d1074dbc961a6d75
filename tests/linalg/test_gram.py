"""Gram matrices by blocks are Gram matrices, and the solves built on them hold where matrices are close to singular."""

import pytest
import torch

from semalign.errors import UserError
from semalign.linalg.gram import condition_number, cross_gram, gram_factor, gram_of, row_blocks


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(row_blocks, "__defaults__", (7,))


def with_condition(n, d, condition):
    """An [n, d] matrix with singular values spread from 1 to 1 / condition."""
    left, right = (
        torch.linalg.qr(torch.randn(n, d, dtype=torch.float64))[0],
        torch.linalg.qr(torch.randn(d, d).double())[0],
    )
    return left @ torch.diag(torch.logspace(0, -float(torch.tensor(condition).log10()), d).double()) @ right


@pytest.mark.parametrize(("n_row", "block"), [(0, 5), (1, 5), (4, 5), (5, 5), (13, 5), (15, 5)])
def test_blocks_cover_every_row_once_in_order(n_row, block):
    seen = [row for rows in row_blocks(n_row, block) for row in range(rows.start, rows.stop)]
    assert seen == list(range(n_row))


@pytest.mark.parametrize("n", [1, 6, 7, 8, 14, 50])
def test_a_gram_matrix_by_blocks_is_the_plain_one(small_blocks, n):
    a, b = torch.randn(n, 5, dtype=torch.float64), torch.randn(n, 3, dtype=torch.float64)
    torch.testing.assert_close(cross_gram(a, b), a.T @ b, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(cross_gram(a, a), a.T @ a, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("width", [1, 3, 4, 5, 11])
def test_a_gram_matrix_by_panels_of_columns_is_the_whole_one(small_blocks, monkeypatch, width):
    monkeypatch.setattr("semalign.linalg.gram.PANEL", 4)
    a = torch.randn(23, width)
    gram = gram_of(a)
    torch.testing.assert_close(gram, a.double().T @ a.double(), rtol=1e-13, atol=1e-13)
    assert torch.equal(gram, gram.T)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_gram_matrix_of_low_precision_is_summed_in_float64(small_blocks, dtype):
    a, b = torch.randn(61, 5).to(dtype), torch.randn(61, 3).to(dtype)
    gram = cross_gram(a, b)
    assert gram.dtype == torch.float64
    torch.testing.assert_close(gram, a.double().T @ b.double(), rtol=1e-13, atol=1e-13)


def test_the_factor_is_that_of_the_matrix_plus_its_ridge():
    w = torch.randn(40, 6, dtype=torch.float64)
    gram = w.T @ w
    for ridge in (0.0, 0.3):
        factor, used = gram_factor(gram, ridge)
        assert used == ridge
        assert torch.equal(factor, factor.tril())
        plain = gram + ridge * gram.diagonal().mean() * torch.eye(6, dtype=torch.float64)
        torch.testing.assert_close(factor @ factor.T, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_singular_matrix_gets_the_least_squares_solution(scale):
    w = scale * torch.randn(40, 6, dtype=torch.float64) @ torch.diag(torch.tensor([1.0, 1, 1, 1, 0, 0]).double())
    z = w @ torch.randn(6, 3, dtype=torch.float64)
    with pytest.warns(UserWarning, match="a Gram matrix is singular with ridge 0; 1e-10 was used"):
        factor, used = gram_factor(w.T @ w)
    assert used == 1e-10
    solution = torch.cholesky_solve(w.T @ z, factor)
    torch.testing.assert_close(w @ solution, z, rtol=1e-5, atol=1e-5 * scale)
    assert solution.abs().max() < 100  # what a column of zeros is multiplied by stays small


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_damaged_weights_are_one_line(value):
    w = torch.randn(40, 6, dtype=torch.float64)
    w[3, 2] = value
    for use in (gram_factor, condition_number):
        with pytest.raises(UserError, match="the weights are damaged: they hold NaN or Inf"):
            use(w.T @ w)


def test_a_matrix_that_is_no_gram_matrix_is_refused():
    with pytest.raises(UserError, match="not positive semi-definite"):
        gram_factor(torch.diag(torch.tensor([1.0, -1.0, 2.0]).double()))


@pytest.mark.parametrize("condition", [1.5, 30.0, 1e4])
def test_the_condition_number_is_that_of_the_matrix(condition):
    w = with_condition(50, 7, condition)
    assert condition_number(w.T @ w) == pytest.approx(float(torch.linalg.cond(w)), rel=1e-6)
    assert condition_number(w.T @ w) == pytest.approx(condition, rel=1e-6)


@pytest.mark.parametrize("d", [2, 5, 23, 61])
@pytest.mark.parametrize("seed", range(3))
def test_a_rank_deficient_matrix_has_no_condition_number(d, seed):
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(63, d - 1, dtype=torch.float64, generator=generator)
    w = w @ torch.randn(d - 1, d, dtype=torch.float64, generator=generator)
    assert condition_number(w.T @ w) == float("inf")


def test_float32_pseudo_inverses_lose_directions_that_the_gram_matrix_keeps():
    # why this module exists: pinv drops singular values below eps * max(n, d) of the largest, more for larger n
    w = with_condition(4096, 6, 3e3).float()
    truth = torch.randn(6, 1, dtype=torch.float64)
    z = w.double() @ truth
    by_gram = torch.cholesky_solve(cross_gram(w, z), gram_factor(cross_gram(w, w)).lower)
    by_pinv = torch.linalg.pinv(w).double() @ z
    torch.testing.assert_close(by_gram, truth, rtol=1e-6, atol=1e-6)
    assert (by_pinv - truth).norm() > 0.1 * truth.norm()
