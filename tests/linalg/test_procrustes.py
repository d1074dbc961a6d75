"""A planted rotation is found, with scale and shift; between widths the map is semi-orthogonal and none is better."""

import pytest
import torch

from semalign.errors import UserError
from semalign.linalg.moments import Moments, explained_variance
from semalign.linalg.procrustes import procrustes

N = 47


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def rotation(d_y, d_x):
    """Orthonormal columns or rows, whichever are fewer."""
    tall = torch.linalg.qr(random(max(d_y, d_x), min(d_y, d_x)))[0]
    return tall if d_y >= d_x else tall.T


def moments_of(x, y):
    moments = Moments.zero(x.shape[1], y.shape[1])
    moments.update(x, y)
    return moments


@pytest.mark.parametrize(("d_y", "d_x"), [(6, 6), (9, 5)])
def test_a_planted_rotation_is_found(d_y, d_x):
    truth, shift = rotation(d_y, d_x), random(d_y)
    x = random(N, d_x) * random(d_x).exp() + 3
    matrix, offset, scale = procrustes(moments_of(x, 2.5 * x @ truth.T + shift), center=True, scale=True)
    torch.testing.assert_close(matrix, 2.5 * truth, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(offset, shift, rtol=1e-8, atol=1e-8)
    assert scale == pytest.approx(2.5, rel=1e-9)
    plain, none, one = procrustes(moments_of(x, 2.5 * x @ truth.T), center=False, scale=False)
    torch.testing.assert_close(plain, truth, rtol=1e-9, atol=1e-9)
    assert not none.any()
    assert one == 1.0


@pytest.mark.parametrize(("d_y", "d_x"), [(6, 6), (9, 5), (5, 9)])
def test_the_map_is_semi_orthogonal(d_y, d_x):
    matrix, _, _ = procrustes(moments_of(random(N, d_x), random(N, d_y)), center=True, scale=False)
    gram = matrix.T @ matrix if d_x <= d_y else matrix @ matrix.T
    torch.testing.assert_close(gram, torch.eye(min(d_x, d_y)).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("d_y", "d_x"), [(6, 6), (9, 5)])
@pytest.mark.parametrize("scale", [False, True])
def test_no_other_rotation_or_scale_is_better(d_y, d_x, scale):
    x, y = random(N, d_x) + 1, random(N, d_y)
    moments = moments_of(x, y)
    matrix, offset, c = procrustes(moments, center=True, scale=scale)
    best = explained_variance(matrix, offset, moments)
    for _ in range(30):
        other = c * rotation(d_y, d_x)
        assert explained_variance(other, moments.y / N - other @ moments.x / N, moments) < best
    if scale:
        for factor in (0.98, 1.02):
            other = factor * matrix
            assert explained_variance(other, moments.y / N - other @ moments.x / N, moments) < best


def test_a_narrower_side_gets_the_directions_that_covary():
    # y is a rotated part of x: its directions, and none of the rest, are found
    truth, x = rotation(4, 9), random(N, 9)
    matrix, _, _ = procrustes(moments_of(x, x @ truth.T), center=True, scale=True)
    assert torch.nn.functional.cosine_similarity(matrix.flatten(), truth.flatten(), dim=0) > 0.9


def test_too_few_tokens_are_refused_in_one_line():
    with pytest.raises(UserError) as caught:
        procrustes(moments_of(random(4, 6), random(4, 5)), center=True, scale=True)
    assert str(caught.value) == (
        "the two models' states have only 3 of 5 directions in common on 4 tokens, so the rotation is not determined; "
        "give more calibration rows"
    )
