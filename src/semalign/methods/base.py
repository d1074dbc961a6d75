"""What a method is: a plan that names the trained layers and the step that returns the loss."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Int
from torch import Tensor

from ..artifacts import read_json, read_tensors, whole_folder, write_json, write_tensors
from ..basis import SemanticMap
from ..data import Batch
from ..models import LanguageModel
from ..pairing import Pair
from ..strategy import Strategy
from .step import Step


@dataclass(frozen=True, eq=False)
class MethodContext:
    """What a method may use: the two models, the tokens they share, and a few rows of the task for attribution."""

    teacher: LanguageModel
    student: LanguageModel
    tokens: Int[Tensor, "n_token"]
    """Ids that are a real token of both tokenizers."""
    extract: Sequence[Batch]
    seed: int


@dataclass(frozen=True, eq=False)
class Plan:
    """How a student will be trained, and why: the report is made from it."""

    layers: tuple[int, ...]
    """Student layers that get adapters; all other weights stay bit-identical."""
    scores: tuple[float, ...] | None = None
    """Attribution of each teacher layer."""
    pairs: tuple[Pair, ...] = ()
    map: SemanticMap | None = None
    quality: dict[str, Any] = field(default_factory=dict)
    """How well the map keeps the teacher's predictions."""

    def save(self, folder: Path) -> None:
        """Write plan.json, and map.safetensors where there is a map."""
        with whole_folder(folder) as part:
            values: dict[str, Any] = {
                "layers": self.layers,
                "scores": self.scores,
                "pairs": [pair.plain() for pair in self.pairs],
                "quality": self.quality,
            }
            if self.map is not None:
                write_tensors(part / "map.safetensors", self.map.tensors())
                values["map"] = self.map.about()
            write_json(part / "plan.json", values)

    @classmethod
    def load(cls, folder: Path) -> "Plan":
        values = read_json(folder / "plan.json")
        semantic_map = None
        if "map" in values:
            semantic_map = SemanticMap.load(read_tensors(folder / "map.safetensors"), values["map"])
        return cls(
            layers=tuple(values["layers"]),
            scores=None if values["scores"] is None else tuple(values["scores"]),
            pairs=tuple(Pair.from_plain(pair) for pair in values["pairs"]),
            map=semantic_map,
            quality=values["quality"],
        )


@dataclass(frozen=True, kw_only=True)
class Method(Strategy, abc.ABC, kind="method"):
    """A way to train the student on the rows of a run."""

    uses_teacher: ClassVar[bool]
    label: ClassVar[str]
    """How the method is called in tables."""

    def check(self, n_teacher: int, n_student: int) -> None:
        """Raise UserError where the method cannot work on models of these depths: asked before anything is written."""
        del n_teacher, n_student

    @abc.abstractmethod
    def plan(self, context: MethodContext) -> Plan:
        """Choose the layers, pairs and map. Costs no training."""

    @abc.abstractmethod
    def step(self, context: MethodContext, plan: Plan) -> Step:
        """The module whose forward returns the loss; the student in `context` already carries its adapters."""
