"""What is examined: a run's models, rows and tokens, loaded as the run would load them; nothing is written."""

from dataclasses import dataclass
from functools import cached_property

from ..config import Run
from ..contamination import Contamination, load_tasks
from ..methods import MethodContext
from ..models import LanguageModel, SharedTokens
from ..prepare import (
    check_models,
    load_model,
    method_context,
    pick_device,
    tokens_of,
)
from ..results import Rows, encode_rows


@dataclass(frozen=True, eq=False)
class Subject:
    """Both models of a run and its rows as tokens."""

    config: Run
    teacher: LanguageModel
    student: LanguageModel
    tokens: SharedTokens
    rows: Rows
    overlap: Contamination

    @classmethod
    def load(cls, config: Run) -> "Subject":
        """Raises UserError where the run itself would not start, with the run's own line."""
        device = pick_device(config.device)
        tasks, overlap = load_tasks(config)
        student, teacher = (load_model(config, part, device) for part in (config.student, config.teacher))
        check_models(config, student, teacher, tasks)
        tokens = tokens_of(config, teacher, student)
        return cls(config, teacher, student, tokens, encode_rows(config, tasks, student, teacher), overlap)

    @property
    def uses_teacher(self) -> bool:
        """Whether any method of the run does."""
        return any(method.uses_teacher for method in self.config.methods.values())

    @cached_property
    def context(self) -> MethodContext:
        """What the run's methods would get."""
        return method_context(self.config, self.rows, self.teacher, self.student, self.tokens)
