"""Linear CKA (centred kernel alignment) of states: how alike two sets of states of the same positions are.

Source: Kornblith et al. 2019, arXiv:1905.00414, eq. 3 and section 3.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import UserError

BLOCK = 1 << 18  # entries of a Gram matrix held at once for each layer: 2 MB, so 70 layers need 150 MB
STILL = 1e-12  # states that vary less than this against their size are constant up to rounding


def linear_cka(x: Float[Tensor, "n d1"], y: Float[Tensor, "n d2"]) -> float:
    """Linear CKA of two sets of states, rows being the same positions; in [0, 1], in float64, higher is more alike.

    Blind to rotation, scale and shift of either side. 0 where one side does not vary. With fewer positions than widths
    it is high for unrelated states too.
    """
    similarity = CrossCKA()
    similarity.update([x], [y])
    return float(similarity.matrix()[0, 0])


class CrossCKA:
    """CKA of every layer of one model with every layer of another, fed batch by batch.

    It keeps the rows it is given and compares them through their n x n Gram matrices, by blocks of columns. Cross
    products of widths would not grow with n, but there is one for each pair of layers: 3 GB for 24 layers of 896 with
    30 of 576, where 2,048 rows of both are 320 MB. The cost grows with n squared, so a caller bounds n.
    """

    def __init__(self) -> None:
        self._xs: list[list[Tensor]] = []
        self._ys: list[list[Tensor]] = []

    def update(self, xs: Sequence[Float[Tensor, "n _"]], ys: Sequence[Float[Tensor, "n _"]]) -> None:
        """Add the states of n positions: one tensor a layer, any width, the same positions in every tensor."""
        assert len({state.shape[0] for state in (*xs, *ys)}) == 1, "every layer has the same positions"
        self._xs.append([state.detach() for state in xs])
        self._ys.append([state.detach() for state in ys])

    def matrix(self) -> Float64[Tensor, "n_x n_y"]:
        """CKA in [0, 1], layers of the first model down, of the second across; raises UserError below two positions."""
        n = sum(states[0].shape[0] for states in self._xs)
        if n < 2:
            raise UserError(f"CKA needs at least two positions, got {n}; give rows with longer answers")
        xs, ys = _centred(self._xs), _centred(self._ys)
        cross = torch.zeros(len(xs), len(ys), dtype=torch.float64, device=xs[0].device)
        own_x, own_y = cross.new_zeros(len(xs)), cross.new_zeros(len(ys))
        width = max(1, BLOCK // n)
        for start in range(0, n, width):
            columns = slice(start, start + width)
            gram_x, gram_y = _gram_columns(xs, columns), _gram_columns(ys, columns)
            cross += gram_x @ gram_y.T
            own_x += gram_x.square().sum(1)
            own_y += gram_y.square().sum(1)
        norms = (own_x[:, None] * own_y[None, :]).sqrt()
        return torch.where(norms == 0, 0, cross / norms).clamp(0, 1)


def _centred(batches: list[list[Tensor]]) -> list[Float64[Tensor, "n _"]]:
    """All positions of each layer, minus their mean, at size 1; zeros where they do not vary."""
    found = []
    for parts in zip(*batches, strict=True):
        states = torch.cat(parts).double()
        centred = states - states.mean(0)
        size = centred.norm()
        found.append(torch.zeros_like(centred) if size <= STILL * states.norm() else centred / size)
    return found


def _gram_columns(layers: list[Float64[Tensor, "n _"]], columns: slice) -> Float64[Tensor, "n_layer _"]:
    """Some columns of each layer's Gram matrix, flat."""
    return torch.stack([(states @ states[columns].T).flatten() for states in layers])
