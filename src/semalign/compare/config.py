"""A comparison as a value: pairs of models, methods under names, seeds, and what all of them share."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ..config import NAME, ModelConfig, Run, TeacherConfig
from ..errors import UserError, unknown
from ..methods import Method
from ..methods.cache_options import CacheOptions, cache_of, refuse_cache
from ..settings import Part, read_values, validated
from ..strategy import build

RECOMMENDED = "semalign"
MODELS = ("student", "teacher", "teacher_adapted")  # names of rows that are no method's


def _names(value: Any, what: str) -> dict[str, Any]:
    """A mapping whose keys can be folders, also where the file system does not tell A from a."""
    if not isinstance(value, Mapping) or not value:
        raise UserError(f"expected a mapping from names to {what}s, got {value!r}")
    found: dict[str, str] = {}
    for name in map(str, value):
        if not re.fullmatch(NAME, name):
            raise UserError(f"'{name}' is no name for a {what}; use letters, digits, '.', '_' and '-'")
        other = found.setdefault(name.lower(), name)
        if other != name:
            raise UserError(f"the names '{other}' and '{name}' would share a folder")
    return {str(name): item for name, item in value.items()}


def _pairs(value: Any) -> dict[str, Any]:
    return _names(value, "pair")


def _methods(value: Any) -> dict[str, Method]:
    named = _names(value, "method")
    taken = [name for name in named if name.lower() in MODELS]
    if taken:
        raise UserError(f"the name '{taken[0]}' is taken by a model that every table shows; choose another")
    return {name: build("method", method, f"methods.{name}") for name, method in named.items()}


def _seeds(value: Any) -> tuple[int, ...]:
    """A number N means 0 to N - 1."""
    given = range(value) if type(value) is int else value
    if not isinstance(given, range | list | tuple) or not given or not all(type(seed) is int for seed in given):
        raise UserError(f"expected how many seeds, at least 1, or a list of them, got {value!r}")
    if min(given) < 0 or max(given) >= 2**31:
        raise UserError(f"a seed is at least 0 and below 2^31, got {value!r}")
    if len(set(given)) < len(given):
        raise UserError(f"a seed is named twice: {value!r}")
    return tuple(given)


class PairConfig(Part):
    """A teacher and a student; what it says of data, training and evaluation wins over what all pairs share."""

    teacher: TeacherConfig
    student: ModelConfig
    data: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    evaluation: dict[str, Any] = Field(default_factory=dict)


class Comparison(Part):
    """What is compared. Every method gets the same steps and batch size, on the rows that its `answers` names."""

    name: str = Field(pattern=NAME)
    pairs: Annotated[dict[str, PairConfig], BeforeValidator(_pairs)]
    data: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    evaluation: dict[str, Any] = Field(default_factory=dict)
    methods: Annotated[dict[str, Method], BeforeValidator(_methods)]
    recommended: str = ""
    """The method that the others are measured against: `semalign` where there is one, else the first."""
    seeds: Annotated[tuple[int, ...], BeforeValidator(_seeds)] = (0,)
    cache: CacheOptions | None = None
    """As in a run, for the methods that can follow a teacher from disk."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    root: Path = Path(".")

    @model_validator(mode="before")
    @classmethod
    def _recommend(cls, values: Any) -> Any:
        methods = values.get("methods")
        if values.get("recommended") is not None or not isinstance(methods, Mapping) or not methods:
            return values
        return {**values, "recommended": RECOMMENDED if RECOMMENDED in methods else str(next(iter(methods)))}

    @model_validator(mode="after")
    def _agree(self) -> "Comparison":
        if self.recommended not in self.methods:
            raise unknown("method", self.recommended, self.methods, "recommended")
        adapted = {pair.teacher.adapt: name for name, pair in self.pairs.items()}
        if len(adapted) > 1:
            raise UserError(
                f"pairs: '{adapted[True]}' adapts its teacher and '{adapted[False]}' does not, so gaps are not to the "
                "same kind of teacher; set 'adapt' alike, or compare them apart"
            )
        return self

    @model_validator(mode="after")
    def _can_cache(self) -> "Comparison":
        if self.cache is not None:
            refuse_cache(self.cache, self.methods)
        return self

    @property
    def uncached(self) -> dict[str, Method]:
        """The methods whose teacher stays in memory although there is a cache."""
        if self.cache is None:
            return {}
        return {name: method for name, method in self.methods.items() if method.uses_teacher and not method.cacheable}

    def runs(self, where: str) -> dict[str, dict[str, Run]]:
        """The run of every method by pair, with the first seed; a mistake in what they share starts with `where`."""
        return {name: self._runs(pair, f"{where}: pair '{name}'") for name, pair in self.pairs.items()}

    def _runs(self, pair: PairConfig, where: str) -> dict[str, Run]:
        shared = {
            **{part: _merged(getattr(self, part), getattr(pair, part)) for part in ("data", "training", "evaluation")},
            **{"name": self.name, "teacher": pair.teacher, "student": pair.student},
            **{"device": self.device, "root": self.root, "seed": self.seeds[0]},
        }
        if not shared["data"]:
            raise UserError(f"{where}: no 'data', neither of its own nor shared")
        return {
            name: Run.make({**shared, "method": method, "cache": cache_of(self.cache, method)}, where)
            for name, method in self.methods.items()
        }

    def plain(self) -> dict[str, Any]:
        """The comparison as plain values."""
        values = self.model_dump(mode="json", exclude={"methods"}, exclude_none=True)
        methods = {name: method.spec() for name, method in self.methods.items()}
        return {**values, "root": str(self.root.resolve()), "methods": methods}

    @classmethod
    def read(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Comparison":
        """Read a YAML file; `overrides` are `training.epochs=3` and win over the file."""
        values = read_values(path, "pairs, data and methods", overrides)
        return validated(cls, values, str(path), "a comparison")


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Both, key by key in nested mappings too; where they disagree, `own`."""
    found = dict(shared)
    for key, value in own.items():
        held = found.get(key)
        found[key] = _merged(held, value) if isinstance(held, Mapping) and isinstance(value, Mapping) else value
    return found
