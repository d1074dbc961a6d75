"""A run as a value: strict configuration from YAML or Python; errors say where and what was probably meant."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveInt, model_serializer, model_validator

from .data import SPLITS, TaskSpec
from .errors import UserError
from .evaluation.benchmarks import BenchmarksConfig, Options
from .methods import Method
from .methods.cache_options import CacheOptions, refuse_cache
from .models.quantized import Quantization
from .paths import expand
from .settings import Part, read_values, validated, without_unchanged
from .strategy import build
from .tracking import TrackingOptions
from .training import EngineOptions, TrainingOptions

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # names become folders
LONGEST = 100  # letters of a name; file systems allow 255 bytes, and temporary files have longer ones
PARTS = "teacher, student, data and method"


def _method(value: Any) -> Method:
    return build("method", value, "method")


def _controls(value: Any) -> dict[str, Method]:
    """A list of methods, or a mapping from the names they get in tables to methods."""
    if isinstance(value, Mapping):
        wrong = [key for key in value if not re.fullmatch(NAME, str(key)) or len(str(key)) > LONGEST]
        if wrong:
            raise UserError(
                f"controls: '{wrong[0]}' is no name for a control; use at most {LONGEST} letters, digits, '.', '_' "
                "and '-'"
            )
        return {str(key): build("method", method, f"controls.{key}") for key, method in value.items()}
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise UserError(f"controls: expected a list of methods or a mapping from names to methods, got {value!r}")
    methods = [build("method", method, f"controls[{i}]") for i, method in enumerate(value)]
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise UserError("controls: two methods have the same name; give each its own: 'controls: {NAME: METHOD, ...}'")
    return dict(zip(names, methods, strict=True))


class ModelConfig(Part):
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


class Writing(Part):
    """How the teacher answers the prompts of `rows.prompts`."""

    temperature: NonNegativeFloat = 0.0
    """0: its likeliest text. Above: drawn from its logits over the temperature."""
    max_new_tokens: PositiveInt | None = None
    """An answer that does not end within so many tokens is left out. None: as many as the task's scored answers get."""


class TeacherConfig(ModelConfig):
    """The larger model."""

    adapt: bool = False
    """Fine-tune the teacher with LoRA on the training rows first: likelihoods then measure knowledge, not format."""
    quantization: Quantization | None = None
    """Its layers in 8 or 4 bits a weight (bitsandbytes); `dtype` is then what it computes in."""
    writes: Writing = Writing()

    @model_serializer(mode="wrap")
    def _without_defaults(self, plain: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_unchanged(self, plain(self), ("quantization", "writes"))


class DataConfig(Part):
    """Rows and how they become text."""

    tasks: tuple[TaskSpec, ...] = Field(min_length=1)
    template: Literal["plain", "chat"] = "chat"
    max_length: PositiveInt = 1024
    """Tokens a row; longer ones are cut on the right and counted."""
    spans: Literal["last", "mean"] | None = None
    """Where the tokenizers differ: which state stands for several of the teacher's tokens, the last one's (None) or the
    mean."""
    overlap: Literal["report", "refuse", "drop"] = "report"
    """What becomes of training rows that share a run of words with a row that is scored."""
    overlap_words: PositiveInt = 13
    """How many words in a row are such a run."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, plain: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_unchanged(self, plain(self), ("overlap", "overlap_words"))

    @model_validator(mode="after")
    def _different_names(self) -> "DataConfig":
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise UserError(f"two tasks have the same name: {', '.join(names)}")
        return self


class EvaluationConfig(Part):
    """What is measured before and after."""

    split: Literal["test", "validation"] = "test"
    """Choose settings on 'validation'; report 'test' once."""
    batch_size: PositiveInt = 32
    benchmarks: BenchmarksConfig | None = None
    """MMLU, GSM8K, HumanEval and MBPP of every model of the run, before and after."""


class Run(Part):
    """Everything that defines a run. Two runs with equal values give equal results on one machine."""

    name: str = Field(pattern=NAME, max_length=LONGEST)
    teacher: TeacherConfig
    student: ModelConfig
    data: DataConfig
    method: Annotated[Method, BeforeValidator(_method)]
    controls: Annotated[dict[str, Method], BeforeValidator(_controls)] = Field(default_factory=dict)
    training: TrainingOptions = TrainingOptions()
    evaluation: EvaluationConfig = EvaluationConfig()
    cache: CacheOptions | None = None
    """Train from what the teacher said of the training rows, kept on disk. None: it runs beside the student."""
    tracking: TrackingOptions | None = None
    """Where training curves are sent beside the run's own files. None: nowhere."""
    engine: EngineOptions | None = None
    """How several processes divide the work; `ddp` where nothing is said. It changes no result."""
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

    @model_validator(mode="after")
    def _can_cache(self) -> "Run":
        if self.cache is not None:
            refuse_cache(self.cache, self.methods)
        return self

    @model_validator(mode="after")
    def _uses_the_loop(self) -> "Run":
        if any(method.checkpoints for method in self.methods.values()):
            return self
        for option in ("gradient_checkpointing", "on_trouble", "spike_factor"):
            if getattr(self.training, option) != TrainingOptions.model_fields[option].default:
                raise UserError(
                    f"training.{option}: has no effect on any of the methods ({', '.join(self.methods)}); leave it out"
                )
        return self

    @model_validator(mode="after")
    def _has_what_the_teacher_writes(self) -> "Run":
        asked = any(task.prompts or task.rows.prompts for task in self.data.tasks)
        if not asked and self.teacher.writes != Writing():
            raise UserError(
                "teacher.writes has no effect: no task has prompts; give rows.prompts or a file as 'prompts', or leave "
                "it out"
            )
        return self

    @property
    def cache_folder(self) -> Path | None:
        """The folder of the teacher cache that runs share, made absolute; None where the run has its own."""
        if self.cache is None or self.cache.folder is None:
            return None
        return (self.root / expand(self.cache.folder)).resolve()

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
                update={part: expand(path) for part in ("folder", "prompts", *SPLITS) if (path := getattr(task, part))}
            )
            for task in self.data.tasks
        ]

    @property
    def benchmarks(self) -> Options | None:
        """What the benchmarks are asked with, the folder of their files made absolute; None where none are asked."""
        asked = self.evaluation.benchmarks
        if asked is None:
            return None
        return asked.options(None if asked.data is None else (self.root / expand(asked.data)).resolve())

    def plain(self) -> dict[str, Any]:
        """The run as plain values; `Run(**run.plain())` is the same run."""
        unsaid = {name for name in ("engine", "tracking") if getattr(self, name) is None}
        values = self.model_dump(mode="json", exclude={"method", "controls"} | unsaid)
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
            raise UserError(f"{where}: expected a mapping with {PARTS}, got {type(values).__name__}")
        return validated(cls, values, where, "a run")

    @classmethod
    def read(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Run":
        """Read a YAML file; `overrides` are `training.epochs=3` and win over the file."""
        return cls.make(read_values(path, PARTS, overrides), str(path))
