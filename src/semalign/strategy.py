"""Strategies: frozen dataclasses that are their own configuration, found by importing the files of their kind.

A *kind* is a package with one abstract class (`Pairing`, `Basis`, ...). A strategy is one file in it: a frozen keyword-only dataclass
that names itself in its class statement, `class Depth(Pairing, name="depth")`. Nothing else has to be edited for it to be found.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import pydantic

from .errors import UserError, suggestion, unknown

PACKAGES = {
    "attribution": "semalign.attribution",
    "pairing": "semalign.pairing",
    "basis": "semalign.basis",
    "loss": "semalign.losses",
    "method": "semalign.methods",
}
KINDS = tuple(PACKAGES)

_REGISTRY: dict[str, dict[str, "type[Strategy]"]] = {kind: {} for kind in KINDS}


class Strategy:
    """One exchangeable part: its fields are its configuration, one public method is its behaviour, `source` says where it is from."""

    kind: ClassVar[str]
    name: ClassVar[str]
    source: ClassVar[str] = ""

    def __init_subclass__(cls, *, kind: str | None = None, name: str | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if kind is not None:
            cls.kind = kind
        if name is not None:
            known = _REGISTRY[cls.kind].get(name)
            if known is not None and known.__module__ != cls.__module__:
                raise ValueError(f"two strategies of kind {cls.kind} are named '{name}': {known.__module__}, {cls.__module__}")
            cls.name = name
            _REGISTRY[cls.kind][name] = cls

    def spec(self) -> dict[str, Any]:
        """The plain mapping that `build` turns back into this object."""
        values = {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(typing.cast(Any, self))}
        return {"name": self.name, **values}

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(typing.cast(Any, self), **changes)


def _plain(value: Any) -> Any:
    if isinstance(value, Strategy):
        return value.spec()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def available(kind: str) -> "dict[str, type[Strategy]]":
    """All strategies of a kind by name, after importing every file of its package."""
    if kind not in PACKAGES:
        raise unknown("kind", kind, KINDS)
    package = importlib.import_module(PACKAGES[kind])
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_REGISTRY[kind].items()))


def summary(strategy: "type[Strategy]") -> str:
    """The first line of a strategy's docstring."""
    return (inspect.getdoc(strategy) or "").partition("\n")[0]


def build(kind: str, given: Any, where: str = "") -> Any:
    """The strategy that a configuration names: `'depth'`, `{'name': 'critical', 'count': 2}` or a ready object.

    Unknown names, unknown fields and values of the wrong type raise UserError with the place and the nearest name.
    """
    if isinstance(given, Strategy):
        return given
    prefix = f"{where}: " if where else ""
    values = {"name": given} if isinstance(given, str) else given
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise UserError(f"{prefix}expected the name of a {kind} or a mapping with 'name', got {given!r}")
    known = available(kind)
    cls = known.get(values["name"])
    if cls is None:
        raise unknown(kind, values["name"], known, where)
    hints = typing.get_type_hints(cls)
    fields = {field.name: hints[field.name] for field in dataclasses.fields(typing.cast(Any, cls)) if field.init}
    arguments = {}
    for key, value in values.items():
        if key == "name":
            continue
        if key not in fields:
            raise UserError(f"{prefix}{kind} '{cls.name}' takes no '{key}'. {suggestion(key, fields)}")
        arguments[key] = _convert(fields[key], value, f"{where}.{key}" if where else key)
    try:
        return cls(**arguments)
    except UserError as error:
        raise UserError(f"{prefix}{kind} '{cls.name}': {error}") from None


def _convert(annotation: Any, value: Any, where: str) -> Any:
    if inspect.isclass(annotation) and issubclass(annotation, Strategy):
        return build(annotation.kind, value, where)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        kinds = [a for a in arguments if inspect.isclass(a) and issubclass(a, Strategy)]
        if kinds and value is not None:
            return build(kinds[0].kind, value, where)
    if origin is tuple and arguments and inspect.isclass(arguments[0]) and issubclass(arguments[0], Strategy):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise UserError(f"{where}: expected a list, got {value!r}")
        return tuple(build(arguments[0].kind, item, f"{where}[{i}]") for i, item in enumerate(value))
    try:
        return pydantic.TypeAdapter(annotation).validate_python(value)
    except pydantic.ValidationError as error:
        raise UserError(f"{where}: {error.errors()[0]['msg'].lower()}, got {value!r}") from None
