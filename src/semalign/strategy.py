"""Strategies: frozen dataclasses that are their own configuration, found by importing the files of their kind.

A *kind* is a package with one abstract class (`Pairing`, `Basis`, ...). A strategy is one file in it: a frozen
keyword-only dataclass that names itself in its class statement, `class Depth(Pairing, name="depth")`. Nothing else has
to be edited for it to be found.
"""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pydantic

from .errors import UserError, suggestion, unknown

PACKAGES = {
    "attribution": "semalign.attribution",
    "pairing": "semalign.pairing",
    "basis": "semalign.basis",
    "loss": "semalign.losses",
    "schedule": "semalign.schedules",
    "method": "semalign.methods",
}
KINDS = tuple(PACKAGES)

Same = TypeVar("Same", bound="Strategy")

_REGISTRY: dict[str, dict[str, "type[Strategy]"]] = {kind: {} for kind in KINDS}


class Strategy:
    """One exchangeable part: its fields are its configuration, one public method is what it does, `source` cites it."""

    kind: ClassVar[str]
    name: ClassVar[str]
    source: ClassVar[str] = ""

    def __init_subclass__(cls, *, kind: str | None = None, name: str | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if kind is not None:
            cls.kind = kind
        if name is not None:
            cls.name = name
            _register(cls)

    def spec(self) -> dict[str, Any]:
        """The plain mapping that `build` turns back into this object."""
        values = {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(typing.cast(Any, self))}
        return {"name": self.name, **values}

    def replace(self: Same, **changes: Any) -> Same:
        """A copy with some fields changed."""
        return dataclasses.replace(typing.cast(Any, self), **changes)

    def seeded(self: Same, seed: int) -> Same:
        """A copy in which every `seed` left None, here and in the strategies it holds, is the given one."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(typing.cast(Any, self)):
            value = getattr(self, field.name)
            if field.name == "seed" and value is None:
                changes["seed"] = seed
            elif isinstance(value, Strategy):
                changes[field.name] = value.seeded(seed)
        return self.replace(**changes) if changes else self


def _register(cls: type[Strategy]) -> None:
    known = _REGISTRY[cls.kind].setdefault(cls.name, cls)
    if _place(known) != _place(cls):
        raise ValueError(f"two strategies of kind {cls.kind} are named '{cls.name}': {_place(known)}, {_place(cls)}")
    _REGISTRY[cls.kind][cls.name] = cls  # a reloaded module brings its class again


def _place(cls: type[Strategy]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


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


def described(kind: str) -> dict[str, str]:
    """All strategies of a kind by name, with the first line of what each says of itself.

    Read from the files of its package, because importing them takes seconds.
    """
    if kind not in PACKAGES:
        raise unknown("kind", kind, KINDS)
    found: dict[str, str] = {}
    for path in Path(__file__).parent.joinpath(*PACKAGES[kind].split(".")[1:]).rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                given = {keyword.arg: keyword.value for keyword in node.keywords}
                if isinstance(name := given.get("name"), ast.Constant):
                    found[str(name.value)] = (ast.get_docstring(node) or "").partition("\n")[0]
    return dict(sorted(found.items()))


def build(kind: str, given: Any, where: str = "") -> Any:
    """The strategy that a configuration names: `'depth'`, `{'name': 'critical', 'count': 2}` or a ready object.

    Unknown names, unknown or missing fields and values of the wrong type raise UserError with the place and the nearest
    name.
    """
    prefix = f"{where}: " if where else ""
    if isinstance(given, Strategy):
        if given.kind != kind:
            raise UserError(f"{prefix}expected a {kind}, got the {given.kind} '{given.name}'")
        return given
    values = {"name": given} if isinstance(given, str) else given
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise UserError(f"{prefix}expected the name of a {kind} or a mapping with 'name', got {given!r}")
    known = available(kind)
    if values["name"] not in known:
        raise unknown(kind, values["name"], known, where)
    cls = known[values["name"]]
    arguments = _arguments(cls, {key: value for key, value in values.items() if key != "name"}, where)
    try:
        return cls(**arguments)
    except UserError as error:
        raise UserError(f"{prefix}{kind} '{cls.name}': {error}") from None


def _arguments(cls: type[Strategy], values: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Values of the right type for the fields of a strategy; every field without a default must be there."""
    prefix = f"{where}: " if where else ""
    fields = dataclasses.fields(typing.cast(Any, cls))
    for key in values:
        if key not in [field.name for field in fields]:
            near = suggestion(str(key), [field.name for field in fields])
            raise UserError(f"{prefix}{cls.kind} '{cls.name}' takes no '{key}'. {near}")
    for field in fields:
        if field.default is field.default_factory is dataclasses.MISSING and field.name not in values:
            raise UserError(f"{prefix}{cls.kind} '{cls.name}' needs '{field.name}'")
    hints = typing.get_type_hints(cls, include_extras=True)  # extras: the bounds of Annotated[int, Field(ge=1)]
    return {key: _convert(hints[key], value, f"{where}.{key}" if where else key) for key, value in values.items()}


def _convert(annotation: Any, value: Any, where: str) -> Any:
    members = typing.get_args(annotation)
    if kind := _kind_of(annotation):
        return None if value is None and type(None) in members else build(kind, value, where)
    if typing.get_origin(annotation) is tuple and (kind := _kind_of(members[0])):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise UserError(f"{where}: expected a list, got {value!r}")
        return tuple(build(kind, item, f"{where}[{i}]") for i, item in enumerate(value))
    return _validated(annotation, value, where)


def _kind_of(annotation: Any) -> str | None:
    """The kind of a field that holds a strategy, `Basis` or `Basis | None`."""
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    members = typing.get_args(annotation) if is_union else (annotation,)
    return next((m.kind for m in members if inspect.isclass(m) and issubclass(m, Strategy)), None)


def _validated(annotation: Any, value: Any, where: str) -> Any:
    """A plain value, checked and converted by pydantic; of its complaints the first, with the index of the item."""
    if isinstance(value, bool) and bool not in (annotation, *typing.get_args(annotation)):
        raise UserError(f"{where}: {value} is not a possible value")
    try:
        checked = pydantic.TypeAdapter(annotation).validate_python(value)
    except pydantic.ValidationError as error:
        raise _complaint(error, annotation, where) from None
    if isinstance(checked, float) and not isfinite(checked):
        raise UserError(f"{where}: input should be a finite number, got {value!r}")
    return checked


def _complaint(error: pydantic.ValidationError, annotation: Any, where: str) -> UserError:
    first = error.errors()[0]
    if first["type"] == "literal_error" and typing.get_origin(annotation) is typing.Literal:
        return unknown("value", str(first["input"]), typing.get_args(annotation), where)
    place = where + "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
    return UserError(f"{place}: {first['msg'].lower()}, got {first['input']!r}")
