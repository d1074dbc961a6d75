"""A semantic map that is one matrix."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..linalg.gram import check_finite
from .base import SemanticMap


@dataclass(frozen=True, eq=False)
class LinearMap(SemanticMap, form="linear"):
    """h_student = M h_teacher + offset, with h_teacher / |h_teacher| where `unit` (the paper keeps the direction)."""

    matrix: Float[Tensor, "d_s d_t"]
    n_token: int
    condition: float
    unit: bool = True
    offset: Float[Tensor, "d_s"] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What the fit found out, as plain JSON."""

    def __post_init__(self) -> None:
        check_finite(self.matrix)

    @property
    def width(self) -> int:
        return self.matrix.shape[0]

    def to(self, device: torch.device) -> "LinearMap":
        offset = self.offset if self.offset is None else self.offset.to(device)
        return dataclasses.replace(self, matrix=self.matrix.to(device), offset=offset)

    def __call__(self, h: Float[Tensor, "*batch d_t"]) -> Float[Tensor, "*batch d_s"]:
        state = h.to(torch.promote_types(h.dtype, torch.float32))
        if self.unit:
            state = torch.nn.functional.normalize(state, dim=-1)
        mapped = state @ self.matrix.to(state).T
        return (mapped if self.offset is None else mapped + self.offset.to(state)).to(h.dtype)

    def tensors(self) -> dict[str, Tensor]:
        return {"matrix": self.matrix} | ({} if self.offset is None else {"offset": self.offset})

    def about(self) -> dict[str, Any]:
        # JSON has no infinity: a rank-deficient basis is written as null
        condition = self.condition if isfinite(self.condition) else None
        own = {"form": self.form, "n_token": self.n_token, "condition": condition, "unit": self.unit}
        return own | dict(self.notes)

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> "LinearMap":
        notes = dict(about)
        _, n_token, condition, unit = (notes.pop(name) for name in ("form", "n_token", "condition", "unit"))
        return cls(
            matrix=tensors["matrix"],
            n_token=n_token,
            condition=float("inf") if condition is None else condition,
            unit=unit,
            offset=tensors.get("offset"),
            notes=notes,
        )
