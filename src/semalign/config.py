"""A run as a value: strict configuration from YAML or Python; errors say where and what was probably meant."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

from .data import SPLITS, TaskSpec
from .errors import UserError, suggestion
from .methods import Method
from .paths import expand
from .strategy import build
from .training import TrainingOptions

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # names become folders


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _method(value: Any) -> Method:
    return build("method", value, "method")


def _controls(value: Any) -> dict[str, Method]:
    """A list of methods, or a mapping from the names they get in tables to methods."""
    if isinstance(value, Mapping):
        wrong = [key for key in value if not re.fullmatch(NAME, str(key))]
        if wrong:
            raise UserError(f"controls: '{wrong[0]}' is no name for a control; use letters, digits, '.', '_' and '-'")
        return {str(key): build("method", method, f"controls.{key}") for key, method in value.items()}
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UserError(f"controls: expected a list of methods or a mapping from names to methods, got {value!r}")
    methods = [build("method", method, f"controls[{i}]") for i, method in enumerate(value)]
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise UserError("controls: two methods have the same name; give each its own: 'controls: {NAME: METHOD, ...}'")
    return dict(zip(names, methods, strict=True))


class ModelConfig(_Part):
    """One model: a folder (relative to the configuration), a hub id, or embedded:teacher / embedded:student."""

    model: str
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    trust_remote_code: bool = False
    """Run code that comes with the model. Off unless you say so."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value


class TeacherConfig(ModelConfig):
    """The larger model."""

    adapt: bool = False
    """Fine-tune the teacher with LoRA on the training rows first: likelihoods then measure knowledge, not format."""


class DataConfig(_Part):
    """Rows and how they become text."""

    tasks: tuple[TaskSpec, ...] = Field(min_length=1)
    template: Literal["plain", "chat"] = "chat"
    max_length: PositiveInt = 1024
    """Tokens a row; longer ones are cut on the right and counted."""

    @model_validator(mode="after")
    def _different_names(self) -> "DataConfig":
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise UserError(f"two tasks have the same name: {', '.join(names)}")
        return self


class EvaluationConfig(_Part):
    """What is measured before and after."""

    split: Literal["test", "validation"] = "test"
    """Choose settings on 'validation'; report 'test' once."""
    batch_size: PositiveInt = 32


class Run(_Part):
    """Everything that defines a run. Two runs with equal values give equal results on one machine."""

    name: str = Field(pattern=NAME)
    teacher: TeacherConfig
    student: ModelConfig
    data: DataConfig
    method: Annotated[Method, BeforeValidator(_method)]
    controls: Annotated[dict[str, Method], BeforeValidator(_controls)] = Field(default_factory=dict)
    training: TrainingOptions = TrainingOptions()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = Field(0, ge=0, lt=2**31)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    root: Path = Path(".")
    """Folder that relative paths are relative to; the configuration's own folder where it is read from a file."""

    @model_validator(mode="after")
    def _own_names(self) -> "Run":
        reserved = {"student", "teacher", "teacher_adapted", self.method.name}
        taken = sorted(reserved & set(self.controls))
        if taken:
            raise UserError(
                f"controls: the name '{taken[0]}' is taken; give the control another: 'controls: {{NAME: METHOD}}'"
            )
        return self

    @property
    def methods(self) -> dict[str, Method]:
        """Controls first, the method last: the order in which they are trained."""
        return {**self.controls, self.method.name: self.method}

    def model_path(self, part: ModelConfig) -> str:
        """The model's name with `~` and `$VARIABLES` filled in, and a relative folder made absolute."""
        name = expand(part.model)
        local = (self.root / name).resolve()
        is_folder = name.startswith((".", "/")) or (local.is_dir() and not name.startswith("embedded:"))
        return str(local) if is_folder else name

    @property
    def tasks(self) -> list[TaskSpec]:
        """The task specifications with `~` and `$VARIABLES` in their paths filled in."""
        return [
            task.model_copy(
                update={part: expand(path) for part in ("folder", *SPLITS) if (path := getattr(task, part))}
            )
            for task in self.data.tasks
        ]

    def plain(self) -> dict[str, Any]:
        """The run as plain values; `Run(**run.plain())` is the same run."""
        values = self.model_dump(mode="json", exclude={"method", "controls"})
        values["root"] = str(self.root.resolve())
        values["method"] = self.method.spec()
        values["controls"] = {key: method.spec() for key, method in self.controls.items()}
        return values

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True, width=120)

    @classmethod
    def make(cls, values: Any, where: str = "configuration") -> "Run":
        """Validate plain values; every mistake becomes one UserError that starts with `where`."""
        if not isinstance(values, Mapping):
            raise UserError(
                f"{where}: expected a mapping with teacher, student, data and method, got {type(values).__name__}"
            )
        try:
            return cls(**{str(key): value for key, value in values.items()})
        except pydantic.ValidationError as error:
            raise UserError(f"{where}: {_first(error)}") from None

    @classmethod
    def read(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Run":
        """Read a YAML file; `overrides` are `training.epochs=3` and win over the file."""
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
            raise UserError(f"{path}: expected a mapping with teacher, student, data and method")
        values.setdefault("root", str(path.resolve().parent))
        for override in overrides:
            _set(values, override)
        return cls.make(values, str(path))


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
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = f" line {mark.line + 1}" if mark and "\n" in text else ""
        raise UserError(f"{where}{line}: not valid YAML ({problem or str(error).partition(chr(10))[0]})") from None


def _first(error: pydantic.ValidationError) -> str:
    """The first problem in one line, with its place and the nearest known name."""
    problem = error.errors()[0]
    place = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        known = _fields_at(Run, problem["loc"][:-1])
        return f"{_owner(place)} takes no '{place[-1]}'. {suggestion(place[-1], known)}"
    if problem["type"] == "missing":
        return f"{_owner(place)} needs '{place[-1]}'"
    message = _WORDS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        prefix = ".".join(place)
        return message if not prefix or message.startswith(prefix) else f"{prefix}: {message}"
    return f"{'.'.join(place)}: {message[0].lower()}{message[1:]}, got {problem['input']!r}"


_WORDS = {  # where pydantic speaks of its own classes
    "model_type": "expected a mapping",
    "tuple_type": "expected a list",
    "dict_type": "expected a mapping",
    "path_type": "expected a path",
    "too_short": "must not be empty",
}


def _owner(place: Sequence[str]) -> str:
    return f"'{'.'.join(place[:-1])}'" if len(place) > 1 else "a run"


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
