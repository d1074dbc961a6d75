"""Strict settings: a YAML file read, plain values checked; errors say where and what was probably meant."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, field_validator

from .errors import UserError, suggestion

MOST = 100_000  # values of a YAML file: configurations have some hundreds, and aliases of aliases make millions of few


class Part(BaseModel):
    """A mapping of a configuration: it takes the fields it has, no others, and no infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: Any) -> Any:
        """`true` is not 1."""
        if isinstance(value, bool) and info.field_name is not None:
            named = set(_members(cls.model_fields[info.field_name].annotation))
            if named & {int, float} and not named & {bool, Any, True, False}:
                raise ValueError(f"expected a number, got {str(value).lower()}")
        return value


def _members(annotation: Any) -> Iterator[Any]:
    """Every type and literal that an annotation is made of."""
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for member in inner:
        yield from _members(member)


def without_unchanged(part: BaseModel, values: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The values without those of `names` that are defaults: equal to what was stored before the part had them."""
    fields = type(part).model_fields
    unchanged = {name for name in names if getattr(part, name) == fields[name].default}
    return {name: value for name, value in values.items() if name not in unchanged}


Known = TypeVar("Known", bound=Part)


def validated(model: type[Known], values: Mapping[Any, Any], where: str, noun: str) -> Known:
    """The part that plain values make; every mistake becomes one UserError that starts with `where`."""
    try:
        return model(**{str(key): value for key, value in values.items()})
    except pydantic.ValidationError as error:
        raise UserError(f"{where}: {_first(error, model, noun)}") from None


def read_values(path: str | Path, parts: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The mapping of a YAML file, and its folder as `root`; `overrides` are `training.epochs=3` and win over the file.

    `parts` says what the mapping should hold, for who gave something else.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such configuration file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name a YAML file in it") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a UTF-8 text file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    values = load_yaml(text, str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping with {parts}")
    values.setdefault("root", str(path.resolve().parent))
    for override in overrides:
        _set(values, override)
    return values


def _set(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise UserError(f"--set {override}: expected KEY=VALUE, for example training.epochs=3")
    *parents, last = name.split(".")
    place: dict[str, Any] = values
    for parent in parents:
        inner: Any = place.setdefault(parent, {})
        if isinstance(inner, str):  # `method: semalign` and `method.site=...`
            inner = place[parent] = {"model" if parent in ("teacher", "student") else "name": inner}
        if not isinstance(inner, dict):
            raise UserError(f"--set {override}: '{parent}' is not a mapping")
        place = inner
    place[last] = load_yaml(text, f"--set {override}")


class _Loader(yaml.SafeLoader):
    """YAML where a key that comes twice is an error, not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key}' comes twice", problem_mark=node.value[i][0].start_mark
                )
        return super().construct_mapping(node, deep)


def load_yaml(text: str, where: str) -> Any:
    """The value of a YAML text; what is wrong with it becomes one UserError that starts with `where`."""
    try:
        value = yaml.load(text.removeprefix("\ufeff"), _Loader)
        _count(value, ())
        return value
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = f" line {mark.line + 1}" if mark and "\n" in text else ""
        raise UserError(f"{where}{line}: not valid YAML ({problem or str(error).partition(chr(10))[0]})") from None
    except RecursionError:
        raise UserError(f"{where}: not valid YAML (nested too deep)") from None
    except ValueError as error:  # numbers and dates that Python does not have
        raise UserError(f"{where}: not valid YAML ({str(error).partition(';')[0]})") from None


def _count(value: Any, within: tuple[int, ...], seen: int = 0) -> int:
    """How many values there are where aliases are written out; ValueError where that is no configuration."""
    seen += 1
    if id(value) in within:
        raise ValueError("an alias within what it stands for")
    if seen > MOST:
        raise ValueError(f"over {MOST} values where aliases are written out")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("a text holds the character NUL")
    inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        seen = _count(each, (*within, id(value)), seen)
    return seen


def _first(error: pydantic.ValidationError, model: type[BaseModel], noun: str) -> str:
    """The first problem in one line, with its place and the nearest known name."""
    problem = error.errors()[0]
    place = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        known = _fields_at(model, problem["loc"][:-1])
        return f"{_owner(place, noun)} takes no '{place[-1]}'. {suggestion(place[-1], known)}"
    if problem["type"] == "missing":
        return f"{_owner(place, noun)} needs '{place[-1]}'"
    message = _WORDS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        prefix = ".".join(place)
        return message if not prefix or message.startswith(prefix) else f"{prefix}: {message}"
    return f"{'.'.join(place)}: {message[0].lower()}{message[1:]}, got {_short(problem['input'])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


_WORDS = {  # where pydantic speaks of its own classes
    "model_type": "expected a mapping",
    "tuple_type": "expected a list",
    "dict_type": "expected a mapping",
    "path_type": "expected a path",
    "too_short": "must not be empty",
}


def _owner(place: Sequence[str], noun: str) -> str:
    return f"'{'.'.join(place[:-1])}'" if len(place) > 1 else noun


def _fields_at(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """Names of the fields at a place inside a model."""
    for part in place:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        inner = _model_in(model.model_fields[part].annotation)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found is not None:
            return found
    return None
