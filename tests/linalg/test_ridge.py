"""Ridge by streamed moments is ridge by extra rows; shrinkage is small for signal and large for noise."""

import pytest
import torch

from semalign.errors import UserError
from semalign.linalg.moments import Moments, explained_variance
from semalign.linalg.ridge import RidgePath

N, D_X, D_Y = 43, 7, 5
SHRINKAGES = [1e-8, 1e-3, 0.1, 1.0, 100.0]


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def moments_of(x, y):
    moments = Moments.zero(x.shape[1], y.shape[1])
    moments.update(x, y)
    return moments


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize("n", [N, D_X - 2])
def test_a_solution_is_that_of_the_extra_rows(center, shrinkage, n):
    x, y = random(n, D_X) * random(D_X).exp() + 2, random(n, D_Y) - 1
    mean_x, mean_y = (x.mean(0), y.mean(0)) if center else (torch.zeros(D_X).double(), torch.zeros(D_Y).double())
    a, b = x - mean_x, y - mean_y
    extra = (shrinkage * (a.T @ a).diagonal().mean()).sqrt() * torch.eye(D_X).double()
    expected = torch.linalg.lstsq(torch.cat([a, extra]), torch.cat([b, torch.zeros(D_X, D_Y).double()])).solution.T
    matrix, offset = RidgePath(moments_of(x, y), center=center).solution(shrinkage)
    torch.testing.assert_close(matrix, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(offset, mean_y - expected @ mean_x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("center", [False, True])
def test_the_explained_variance_of_the_path_is_that_of_its_solutions(center):
    x, held_x = random(N, D_X) + 1, random(17, D_X) + 1
    truth = random(D_X, D_Y)
    y, held_y = x @ truth + random(N, D_Y), held_x @ truth + random(17, D_Y)
    path, held = RidgePath(moments_of(x, y), center=center), moments_of(held_x, held_y)
    for shrinkage, found in zip(SHRINKAGES, path.explained(held, SHRINKAGES), strict=True):
        assert found == pytest.approx(explained_variance(*path.solution(shrinkage), held), abs=1e-10)


def best(x, y, held_x, held_y):
    explained = RidgePath(moments_of(x, y), center=True).explained(moments_of(held_x, held_y), SHRINKAGES)
    return SHRINKAGES[max(range(len(SHRINKAGES)), key=explained.__getitem__)], max(explained)


def test_a_planted_map_needs_no_shrinkage_and_noise_needs_all_of_it():
    x, held_x, truth = random(N, D_X), random(30, D_X), random(D_X, D_Y)
    shrinkage, explained = best(x, x @ truth, held_x, held_x @ truth)
    assert shrinkage == SHRINKAGES[0]
    assert explained == pytest.approx(1, abs=1e-9)
    shrinkage, explained = best(x, random(N, D_Y), held_x, random(30, D_Y))
    assert shrinkage >= 1.0
    assert explained < 0.1


@pytest.mark.parametrize("n", [N, D_X - 2])
def test_the_condition_is_that_of_the_centred_states(n):
    x = random(n, D_X) + 5
    found = RidgePath(moments_of(x, random(n, D_Y)), center=True).condition
    if n < D_X:
        assert found == float("inf")
    else:
        assert found == pytest.approx(float(torch.linalg.cond(x - x.mean(0))), rel=1e-6)


def test_states_that_do_not_vary_are_refused():
    with pytest.raises(UserError, match="do not vary"):
        RidgePath(moments_of(torch.ones(N, D_X), random(N, D_Y)), center=True)
