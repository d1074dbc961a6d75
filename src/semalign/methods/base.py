"""What a method is: a plan that names the trained layers and the step that returns the loss."""

import abc
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from jaxtyping import Int
from torch import Tensor

from ..artifacts import read_json, read_tensors, whole_folder, write_json, write_tensors
from ..basis import SemanticMap
from ..data import Batch, Example
from ..losses import Loss
from ..models import LanguageModel, SharedTokens, encoder_of, lora, reader_of, recomputing
from ..models.first_token import first_tokens
from ..models.injection import fold, inject
from ..pairing import Pair
from ..strategy import Strategy
from ..tracking import Log
from ..training import Engine, History, LoraOptions, Tally, TrainingOptions, train
from .step import Step
from .teacher import SignalSource

if TYPE_CHECKING:
    from peft import PeftModel
else:  # importing peft takes four seconds
    PeftModel = Any

START = "start.safetensors"
Answers = Literal["gold", "teacher", "both"]


@dataclass(frozen=True, eq=False)
class MethodContext:
    """What a method may use: the two models, the tokens they share, and a few rows of the task."""

    teacher: LanguageModel
    student: LanguageModel
    tokens: SharedTokens
    """Tokens that both models know."""
    extract: Sequence[Batch]
    """Rows that attribution and the measures of a map look at; nothing trains on them but `laten`."""
    calibration: Sequence[Batch]
    """Rows that maps are fitted on: the `align` rows, or training rows where there are none."""
    seed: int
    lora: LoraOptions = field(default_factory=LoraOptions)
    """The adapters that training will change."""

    @property
    def teacher_extract(self) -> list[Batch]:
        """The extract rows as the teacher reads them."""
        return [batch.of_teacher for batch in self.extract]

    @property
    def of_encoder(self) -> "MethodContext":
        """The same where the student's layers are those of its encoder, at the tokens of the prompts: the teacher's are
        its encoder's, or those of a decoder-only one."""
        return replace(
            self,
            teacher=reader_of(self.teacher),
            student=encoder_of(self.student),
            extract=[batch.prompts for batch in self.extract],
            calibration=[batch.prompts for batch in self.calibration],
        )

    def first_tokens(self, outputs: Sequence[Loss]) -> Int[Tensor, "n_teacher"] | None:
        """The student's tokens that the teacher's begin with, where an output asks; None where none does."""
        if not any(output.compares == "first_token" for output in outputs):
            return None
        return first_tokens(self.teacher, self.student, self.tokens).to(self.student.device)


@dataclass(frozen=True, eq=False)
class Plan:
    """How a student will be trained, and why: the report is made from it."""

    layers: tuple[int, ...]
    """Student layers that get adapters; all other weights stay bit-identical."""
    encoder_layers: tuple[int, ...] = ()
    """Those of an encoder-decoder's encoder."""
    scores: tuple[float, ...] | None = None
    """Attribution of each teacher layer."""
    pairs: tuple[Pair, ...] = ()
    maps: dict[int, SemanticMap] = field(default_factory=dict)
    """By student layer; one object where all pairs share a map."""
    quality: dict[str, Any] = field(default_factory=dict)
    """How well the maps keep the teacher's predictions."""
    start: dict[str, Tensor] = field(default_factory=dict)
    """First values of the adapters where a method brings its own: `<path of a module>.lora_A` and `.lora_B`."""

    def save(self, folder: Path) -> None:
        """Write plan.json, and the tensors of maps and adapters where there are some; a shared map is written once."""
        distinct = list({id(semantic_map): semantic_map for semantic_map in self.maps.values()}.values())
        number = {id(semantic_map): i for i, semantic_map in enumerate(distinct)}
        with whole_folder(folder) as part:
            if distinct:
                tensors = {f"{i}.{name}": x for i, one in enumerate(distinct) for name, x in one.tensors().items()}
                write_tensors(part / "maps.safetensors", tensors)
            if self.start:
                write_tensors(part / START, self.start)
            values = {
                "layers": self.layers,
                "encoder_layers": self.encoder_layers,
                "scores": self.scores,
                "pairs": [pair.plain() for pair in self.pairs],
                "quality": self.quality,
                "maps": [semantic_map.about() for semantic_map in distinct],
                "map_of": {str(layer): number[id(semantic_map)] for layer, semantic_map in self.maps.items()},
            }
            write_json(part / "plan.json", values)

    @classmethod
    def load(cls, folder: Path) -> "Plan":
        values = read_json(folder / "plan.json")
        tensors = read_tensors(folder / "maps.safetensors") if values["maps"] else {}
        maps = [
            SemanticMap.load(
                {name.partition(".")[2]: x for name, x in tensors.items() if name.startswith(f"{i}.")}, about
            )
            for i, about in enumerate(values["maps"])
        ]
        return cls(
            layers=tuple(values["layers"]),
            encoder_layers=tuple(values.get("encoder_layers", ())),
            scores=None if values["scores"] is None else tuple(values["scores"]),
            pairs=tuple(Pair.from_plain(pair) for pair in values["pairs"]),
            maps={int(layer): maps[i] for layer, i in values["map_of"].items()},
            quality=values["quality"],
            start=read_tensors(folder / START) if (folder / START).exists() else {},
        )


@dataclass(frozen=True, eq=False)
class Given:
    """What a training is given by the run."""

    rows: Mapping[str, Sequence[Example]]
    """By split: `train`, `extract`, and what else the tasks have (`align`); of `prompts` the teacher's answers."""
    options: TrainingOptions
    pad_id: int
    folder: Path
    """Where checkpoints and metrics are kept."""
    advance: Callable[[int], None] = lambda _done: None
    probe: Callable[[], dict[str, Any]] | None = None
    signals: SignalSource | None = None
    """Followed in place of the teacher, where a method is cacheable."""
    log: Log | None = None
    """Gets the entry of each step."""
    tally: Tally | None = None
    """What the training costs beside what its history says; where there are checkpoints, they carry it."""
    engine: Engine | None = None
    """None: the one that fits the processes that were started."""

    @property
    def n_row(self) -> dict[str, int]:
        """Rows by split."""
        return {split: len(rows) for split, rows in self.rows.items()}


@dataclass(frozen=True, kw_only=True)
class Method(Strategy, abc.ABC, kind="method"):
    """A way to train the student on the rows of a run."""

    uses_teacher: ClassVar[bool]
    label: ClassVar[str]
    """How the method is called in tables."""
    one_tokenizer: ClassVar[bool] = False
    """Whether teacher and student must write text with the same tokens."""
    decoder_only: ClassVar[bool] = False
    """Whether neither model may be an encoder-decoder."""
    checkpoints: ClassVar[bool] = False
    """Whether `gradient_checkpointing` has an effect on its training."""
    learned_map: ClassVar[bool] = False
    """Whether student and teacher states meet through a map that is trained with the student."""

    @property
    def follows_answers(self) -> bool:
        """Whether it trains on answers that the teacher has written."""
        return False

    @property
    def cacheable(self) -> bool:
        """Whether all it asks of the teacher while it trains is what an `OnlineTeacher` says of the training rows."""
        return False

    @property
    def reads_weights(self) -> bool:
        """Whether it looks at the teacher's weights themselves, beyond embedding, norms and head."""
        return False

    def check(self, teacher: LanguageModel, student: LanguageModel, n_step: int) -> None:
        """Raise UserError where the method cannot work on these models and steps: asked before anything is written."""
        del teacher, student, n_step

    def check_lora(self, teacher: LanguageModel, student: LanguageModel, options: LoraOptions) -> None:
        """Raise UserError where the method cannot start from such adapters: asked before anything is written."""
        del teacher, student, options

    @abc.abstractmethod
    def plan(self, context: MethodContext) -> Plan:
        """Choose the layers, pairs and maps. Costs no training."""

    def adapt(self, context: MethodContext, plan: Plan, options: LoraOptions) -> PeftModel:
        """Put the adapters that training will change on the student, in place; its own weights stay bit-identical."""
        given = {"encoder_layers": plan.encoder_layers, "seed": context.seed, **options.model_dump()}
        if plan.start:
            return inject(context.student, plan.layers, plan.start, **given)
        return lora(context.student, plan.layers, **given)

    @abc.abstractmethod
    def fit(self, context: MethodContext, plan: Plan, adapter: PeftModel, given: Given) -> History:
        """Train what `adapt` put on the student, and leave the result there."""

    def n_step(self, options: TrainingOptions, n_row: Mapping[str, int]) -> int:
        """Optimiser steps that `fit` takes on so many rows a split: as many whichever of the rows it trains on."""
        return options.n_step(n_row["train"] + n_row.get("prompts", 0))


@dataclass(frozen=True, kw_only=True)
class LoopMethod(Method, abc.ABC):
    """A method that is a loss: trained by the loop that all of them share, on one budget."""

    checkpoints = True

    answers: Answers = "gold"
    """What it trains on: the training rows with their gold answers, the prompts that the teacher has answered
    (`rows.prompts`), or both. The number of steps is the same."""

    @property
    def follows_answers(self) -> bool:
        return self.answers != "gold"

    def spec(self) -> dict[str, Any]:
        values = super().spec()
        return values if self.follows_answers else {name: x for name, x in values.items() if name != "answers"}

    def trained_rows(self, given: Mapping[str, Sequence[Example]]) -> list[Example]:
        """Those of the rows of a run, by split, that it trains on."""
        gold, written = given["train"], given.get("prompts", ())
        return [*(gold if self.answers != "teacher" else ()), *(written if self.follows_answers else ())]

    @abc.abstractmethod
    def step(self, context: MethodContext, plan: Plan) -> Step:
        """The module whose forward returns the loss; the student in `context` already carries its adapters."""

    def fit(self, context: MethodContext, plan: Plan, adapter: PeftModel, given: Given) -> History:
        step = self.step(context, plan)
        if given.signals is not None:
            step.signals = given.signals
        with recomputing(context.student) if given.options.gradient_checkpointing else nullcontext():
            history = train(
                step,
                self.trained_rows(given.rows),
                given.options,
                n_step=self.n_step(given.options, given.n_row),
                pad_id=given.pad_id,
                seed=context.seed,
                folder=given.folder,
                advance=given.advance,
                probe=given.probe,
                tally=given.tally,
                log=given.log,
                engine=given.engine,
            )
        if plan.start:
            fold(context.student, adapter)
        return history
