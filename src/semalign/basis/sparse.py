"""The paper's decomposition with only the strongest coefficients kept: no longer a linear map."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ..errors import UserError
from ..linalg.gram import check_finite, condition_number, row_blocks
from .base import Basis, Pieces, SemanticMap, Vocabulary
from .cosine import Cosine, OutputBasis

BLOCK = 2**24
"""Coefficients at a time: 64 MB in float32, whatever the vocabulary."""


@dataclass(frozen=True, kw_only=True)
class Sparse(Basis, name="sparse"):
    """The paper's map with only the `top_k` largest coefficients of each token kept, by absolute value.

    With `top_k` as large as the vocabulary it is `cosine`. Not linear; costs 2 n_token (d_t + d_s) operations a token
    in place of 2 d_t d_s, and n_token (d_t + d_s) numbers of memory.
    Source: our variant of Gu et al. 2025, arXiv:2510.24208, section 3.
    """

    source = "our variant of Gu et al. 2025, arXiv:2510.24208, section 3"
    recovers = "direction"
    keeps_norm = False

    top_k: Annotated[int, Field(ge=1)] = 64
    """Tokens that a state is made of; all of them where the vocabulary is smaller."""
    of: Basis = field(default_factory=Cosine)
    """The decomposition: `cosine` with its options."""

    def __post_init__(self) -> None:
        if not isinstance(self.of, Cosine):
            raise UserError(f"'of' is 'cosine' with its options, because '{self.of.name}' has no coefficients to keep")

    @property
    def rows_in_pieces(self) -> Pieces | None:
        """As the decomposition."""
        return self.of.rows_in_pieces

    def fit(self, teacher: Vocabulary, student: Vocabulary) -> "SparseMap":
        assert isinstance(self.of, Cosine)
        bases = [OutputBasis(side, self.of) for side in (teacher, student)]
        blocks = list(row_blocks(teacher.head.shape[0]))
        rows_t, rows_s = (torch.cat([basis.rows(block).float() for block in blocks]) for basis in bases)
        return SparseMap(
            basis_t=rows_t,
            basis_s=rows_s,
            top_k=min(self.top_k, len(rows_t)),
            condition=condition_number(bases[1].gram),
            notes={"ridge_used": max(basis.ridge_used for basis in bases)},
        )


@dataclass(frozen=True, eq=False)
class SparseMap(SemanticMap, form="sparse"):
    """h_student = S_S^T top_k(S_T h_teacher / |h_teacher|)."""

    basis_t: Float[Tensor, "n_token d_t"]
    basis_s: Float[Tensor, "n_token d_s"]
    top_k: int
    condition: float
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_finite(self.basis_t)
        check_finite(self.basis_s)

    @property
    def n_token(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  read off the rows
        return self.basis_t.shape[0]

    @property
    def width(self) -> int:
        return self.basis_s.shape[1]

    def to(self, device: torch.device) -> "SparseMap":
        return dataclasses.replace(self, basis_t=self.basis_t.to(device), basis_s=self.basis_s.to(device))

    def __call__(self, h: Float[Tensor, "*batch d_t"]) -> Float[Tensor, "*batch d_s"]:
        state = h.to(torch.promote_types(h.dtype, torch.float32)).reshape(-1, h.shape[-1])
        mapped = torch.cat([*self._blocks(torch.nn.functional.normalize(state, dim=-1))])
        return mapped.reshape(*h.shape[:-1], self.width).to(h.dtype)

    def _blocks(self, state: Float[Tensor, "tok d_t"]) -> Iterator[Float[Tensor, "n d_s"]]:
        basis_t, basis_s = self.basis_t.to(state.dtype), self.basis_s.to(state.dtype)
        for rows in row_blocks(len(state), max(1, BLOCK // self.n_token)):
            coefficients = state[rows] @ basis_t.T
            kept = coefficients.abs().topk(self.top_k, dim=-1).indices
            weights = coefficients.gather(-1, kept)
            yield torch.nn.functional.embedding_bag(kept, basis_s, per_sample_weights=weights, mode="sum")

    def tensors(self) -> dict[str, Tensor]:
        return {"basis_t": self.basis_t, "basis_s": self.basis_s}

    def about(self) -> dict[str, Any]:
        condition = self.condition if isfinite(self.condition) else None  # JSON has no infinity
        return {"form": self.form, "top_k": self.top_k, "condition": condition} | dict(self.notes)

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> "SparseMap":
        notes = dict(about)
        _, top_k, condition = (notes.pop(name) for name in ("form", "top_k", "condition"))
        return cls(
            basis_t=tensors["basis_t"],
            basis_s=tensors["basis_s"],
            top_k=top_k,
            condition=float("inf") if condition is None else condition,
            notes=notes,
        )
