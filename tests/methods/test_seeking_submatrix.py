"""What is cut out of a teacher's matrix: planted blocks are found, and plain loops choose the same."""

import pytest
import torch

from semalign.linalg.window import best_window
from semalign.methods.submatrix import extract

SHAPES = [(7, 11, 3, 4), (9, 5, 9, 2), (6, 8, 1, 8), (10, 13, 1, 1), (5, 6, 5, 6), (12, 4, 5, 1)]
each_shape = pytest.mark.parametrize(("n_row", "n_column", "height", "width"), SHAPES)


def slow_window(scores, height, width):
    """Every window summed by itself, the first of the largest."""
    best, where = -1.0, (0, 0)
    for row in range(scores.shape[0] - height + 1):
        for column in range(scores.shape[1] - width + 1):
            total = sum(scores[row + i, column + j].item() for i in range(height) for j in range(width))
            if total > best:
                best, where = total, (row, column)
    return where


def taken(kind, matrix, scores, shape, seed=0):
    return extract(kind, matrix, scores, torch.Size(shape), torch.Generator().manual_seed(seed))


@each_shape
def test_the_search_finds_what_a_search_one_by_one_finds(n_row, n_column, height, width):
    for seed in range(5):
        scores = torch.rand(n_row, n_column, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        assert best_window(scores, height, width) == slow_window(scores, height, width)


@each_shape
def test_of_equal_windows_the_first_is_taken(n_row, n_column, height, width):
    """Whole numbers below 2^53 add without rounding, so that ties are ties."""
    for seed in range(5):
        scores = torch.randint(0, 2, (n_row, n_column), generator=torch.Generator().manual_seed(seed)).double()
        assert best_window(scores, height, width) == slow_window(scores, height, width)
    assert best_window(torch.ones(n_row, n_column), height, width) == (0, 0)


@pytest.mark.parametrize("corner", [(0, 0), (3, 5), (11, 14)])
def test_a_planted_block_is_found(corner):
    scores = 0.1 * torch.rand(19, 23)
    scores[corner[0] : corner[0] + 8, corner[1] : corner[1] + 9] += 1
    matrix = torch.randn(19, 23, dtype=torch.float64)
    found = taken("window", matrix, scores, (8, 9))
    assert found.corner == corner
    assert torch.equal(found.matrix, matrix[corner[0] : corner[0] + 8, corner[1] : corner[1] + 9])
    assert found.share == pytest.approx(
        float(scores[corner[0] :][:8, corner[1] :][:, :9].sum() / scores.sum()), rel=1e-5
    )


def test_rounding_does_not_hide_a_block_that_stands_out_a_little():
    """The table reaches 10^8, where float32 counts in eights."""
    scores = torch.full((300, 400), 1000.0)
    scores[290:292, 380:382] = 1000.1
    assert best_window(scores, 2, 2) == (290, 380)


def test_rows_and_columns_are_those_with_the_highest_means():
    matrix, scores = torch.randn(7, 9, dtype=torch.float64), torch.rand(7, 9, dtype=torch.float64)
    rows = sorted(sorted(range(7), key=lambda i: -sum(scores[i].tolist()))[:3])
    columns = sorted(sorted(range(9), key=lambda j: -sum(scores[:, j].tolist()))[:4])
    found = taken("rows_columns", matrix, scores, (3, 4))
    assert found.matrix.tolist() == [[matrix[i, j].item() for j in columns] for i in rows]
    inside = sum(scores[i, j].item() for i in rows for j in columns)
    assert found.share == pytest.approx(inside / float(scores.sum()), rel=1e-12)


def test_single_weights_are_those_with_the_highest_scores_in_their_order():
    matrix, scores = torch.randn(5, 6, dtype=torch.float64), torch.rand(5, 6, dtype=torch.float64)
    places = [(i, j) for i in range(5) for j in range(6)]
    best = sorted(sorted(places, key=lambda place: -scores[place].item())[:12])
    found = taken("single_weights", matrix, scores, (3, 4))
    assert found.matrix.flatten().tolist() == [matrix[place].item() for place in best]
    assert found.share > taken("window", matrix, scores, (3, 4)).share


def test_a_window_anywhere_depends_on_the_seed_alone_and_reaches_every_corner():
    matrix = torch.arange(30.0).view(5, 6)
    corners = [taken("random_window", matrix, None, (4, 4), seed).corner for seed in range(60)]
    assert set(corners) == {(row, column) for row in range(2) for column in range(3)}
    assert taken("random_window", matrix, None, (4, 4), 3).corner == corners[3]
    row, column = corners[0]
    found = taken("random_window", matrix, None, (4, 4), 0)
    assert torch.equal(found.matrix, matrix[row : row + 4, column : column + 4])
    assert found.share is None


@pytest.mark.parametrize("kind", ["window", "rows_columns", "single_weights", "random_window"])
def test_a_part_of_the_whole_shape_is_the_whole(kind):
    matrix, scores = torch.randn(4, 7), torch.rand(4, 7)
    assert torch.equal(taken(kind, matrix, None if kind == "random_window" else scores, (4, 7)).matrix, matrix)
