"""Moments that are streamed are those of the whole, whatever the batches, and shifts are shifts of the tokens."""

import pytest
import torch

from semalign.errors import UserError
from semalign.linalg.moments import Moments, explained_variance, offset

N, D_X, D_Y = 41, 7, 5


def data():
    x = torch.randn(N, D_X, dtype=torch.float64) + 3
    return x, x @ torch.randn(D_X, D_Y, dtype=torch.float64) + torch.randn(N, D_Y, dtype=torch.float64) - 2


def moments_of(x, y, *cuts):
    moments = Moments.zero(x.shape[1], y.shape[1])
    for start, stop in zip((0, *cuts), (*cuts, len(x)), strict=True):
        moments.update(x[start:stop], y[start:stop])
    return moments


def close(a, b):
    assert a.n == b.n
    for name in ("x", "y", "xx", "xy", "yy"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=1e-12, atol=1e-10)


def test_moments_are_sums_over_tokens():
    x, y = data()
    moments = moments_of(x, y)
    torch.testing.assert_close(moments.xx, sum(torch.outer(row, row) for row in x), rtol=1e-12, atol=0)
    torch.testing.assert_close(moments.xy, sum(map(torch.outer, x, y)), rtol=1e-12, atol=1e-12)
    assert float(moments.yy) == pytest.approx(sum(float(row @ row) for row in y), rel=1e-12)
    assert moments.n == N


@pytest.mark.parametrize("cuts", [(1,), (13, 13, 40), tuple(range(1, N))])
def test_streams_equal_the_batch(cuts):
    x, y = data()
    close(moments_of(x, y, *cuts), moments_of(x, y))


def test_two_halves_add_up():
    x, y = data()
    close(moments_of(x[:9], y[:9]) + moments_of(x[9:], y[9:]), moments_of(x, y))


def test_a_shift_is_that_of_the_tokens():
    x, y = data()
    a, b = torch.randn(D_X, dtype=torch.float64), torch.randn(D_Y, dtype=torch.float64)
    close(moments_of(x, y).about(a, b), moments_of(x - a, y - b))
    close(moments_of(x, y).centred(), moments_of(x - x.mean(0), y - y.mean(0)))


def test_states_of_half_precision_are_summed_in_float64():
    x, y = (part.bfloat16() for part in data())
    close(moments_of(x, y), moments_of(x.double(), y.double()))


def test_explained_variance_is_that_of_the_residuals():
    x, y = data()
    matrix, shift = torch.randn(D_Y, D_X, dtype=torch.float64), torch.randn(D_Y, dtype=torch.float64)
    residual, total = (y - x @ matrix.T - shift).square().sum(), (y - y.mean(0)).square().sum()
    assert explained_variance(matrix, shift, moments_of(x, y)) == pytest.approx(float(1 - residual / total), rel=1e-10)
    nothing = torch.zeros(D_Y, D_X, dtype=torch.float64)
    assert explained_variance(nothing, offset(nothing, moments_of(x, y)), moments_of(x, y)) == pytest.approx(0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("side", [0, 1])
def test_damaged_states_are_refused(side, value):
    states = data()
    states[side][3, 2] = value
    with pytest.raises(UserError, match="NaN or Inf"):
        moments_of(*states)
