"""What a configuration says about a task: its source, its row counts, and how it is scored."""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_serializer, model_validator

from ..settings import Part, without_unchanged
from .formats import Format

Split = Literal["extract", "align", "train", "validation", "test"]
Score = Literal["multiple_choice", "exact_match", "passes_tests", "likelihood"]
Benchmark = Literal["gsm8k", "mmlu", "mbpp", "humaneval"]
SPLITS: tuple[Split, ...] = ("extract", "align", "train", "validation", "test")
EMBEDDED = "embedded:"


class RowCounts(Part):
    """How many rows of each split a run uses; None uses all, and no prompts but those of a file of their own."""

    extract: PositiveInt | None = None
    align: PositiveInt | None = None
    train: PositiveInt | None = None
    validation: PositiveInt | None = None
    test: PositiveInt | None = None
    prompts: PositiveInt | None = None
    """Prompts that the teacher answers, for methods that train on its answers: of the file `prompts`, or rows of train
    that are not trained on, whose own answers nobody looks at."""

    @model_serializer(mode="wrap")
    def _without_default(self, plain: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_unchanged(self, plain(self), ("prompts",))


class FieldNames(Part):
    """Names of a record's fields where they are not the usual ones."""

    id: str | None = None
    prompt: str | None = None
    answer: str | None = None
    choices: str | None = None
    gold: str | None = None
    final: str | None = None
    tests: str | None = None
    entry_point: str | None = None

    def given(self) -> dict[str, str]:
        return self.model_dump(exclude_none=True)


class SplitNames(Part):
    """Names of a hub data set's splits."""

    train: str = "train"
    extract: str | None = None
    align: str | None = None
    validation: str | None = None
    test: str | None = None


class HubSource(Part):
    """A data set of the Hugging Face hub (or a folder that `datasets.load_dataset` reads)."""

    id: str
    config: str | None = None
    revision: str | None = None
    splits: SplitNames = SplitNames()

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        return {"id": given} if isinstance(given, str) else given


class TaskSpec(Part):
    """One task of a run. Exactly one source:

    - `benchmark: gsm8k | mmlu | mbpp | humaneval`: from `folder` (its benchmark files), or from the hub without a
      folder;
    - `folder`: one file a split (`train.jsonl` or `train.json`, `test.jsonl`, ...), or `embedded:<task>` of the
      embedded pair;
    - `train`, `validation`, `test`, `extract`, `align`: JSON-lines files (or JSON files of one list) by path;
    - `hub`: a data set id, or its id, config, revision and split names.

    Beside any of them, `prompts` may name a file of rows without answers.

    Paths are relative to the configuration file. The plain text `embedded:facts` or `gsm8k` stands for the task of that
    name.
    """

    name: str = Field(pattern=r"^\w[\w.-]*$", max_length=60)  # becomes a file's name, up to 4 bytes a letter
    benchmark: Benchmark | None = None
    folder: str | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    extract: str | None = None
    align: str | None = None
    prompts: str | None = None
    """A JSON-lines file of prompts that the teacher answers; answers in it are not looked at."""
    hub: HubSource | None = None
    format: Format | None = None
    """How rows are laid out. None: told by their keys, row by row."""
    fields: FieldNames = FieldNames()
    rows: RowCounts = RowCounts()
    score: Score | None = None
    max_new_tokens: PositiveInt | None = None
    stop: list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        if isinstance(given, str):
            if given.startswith(EMBEDDED):
                return {"name": given.removeprefix(EMBEDDED), "folder": given}
            return {"name": given, "benchmark": given}
        if isinstance(given, dict) and "name" not in given:
            folder = given.get("folder")
            named = given.get("benchmark") or (str(folder).removeprefix(EMBEDDED) if is_embedded(folder) else None)
            return {"name": named, **given} if named else given
        return given

    @model_serializer(mode="wrap")
    def _without_default(self, plain: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_unchanged(self, plain(self), ("format", "prompts"))

    @field_validator("stop")
    @classmethod
    def _stop(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and not all(value):
            raise ValueError("a stop string is empty")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> "TaskSpec":
        files = self.files()
        if self.benchmark and is_embedded(self.folder):
            raise ValueError("an embedded task takes no 'benchmark'; remove it")
        sources = [self.benchmark is not None or self.folder is not None, bool(files), self.hub is not None]
        if sum(sources) != 1:
            raise ValueError(
                "give exactly one source: benchmark (with folder or from the hub), folder, train/test files, or hub"
            )
        if files and "train" not in files:
            raise ValueError("'train' is missing: training rows are needed")
        if self.benchmark == "humaneval" and set(self.rows.model_dump(exclude_none=True)) - {"test"}:
            raise ValueError("HumanEval has no training rows; train on 'mbpp' or on your own rows, and test on this")
        if self.benchmark and self.fields.given():
            raise ValueError(f"'fields' has no effect on benchmark '{self.benchmark}'; remove it")
        if self.format and (self.benchmark or is_embedded(self.folder)):
            raise ValueError("'format' has no effect: a benchmark's rows have their own layout; remove it")
        if self.format and (self.fields.prompt or self.fields.answer):
            raise ValueError("'format' names the fields of prompt and answer; give it or 'fields.prompt' and .answer")
        return self

    def files(self) -> dict[Split, str]:
        """The JSON-lines files given one by one."""
        return {split: path for split in SPLITS if (path := getattr(self, split)) is not None}


def is_embedded(folder: Any) -> bool:
    return isinstance(folder, str) and folder.startswith(EMBEDDED)
