"""What it takes the teacher to answer the prompts of a run, scaled from a few tokens written for a few of them."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..costs import Ledger
from ..data import Row, Task
from ..evaluation import Draws, Memory, write_texts
from ..methods.sft import SFT
from ..models import unload
from ..prepare import adaptation
from ..progress import Advance, silent
from ..run_folder import WRITE_ANSWERS
from ..teacher_answers import new_tokens
from .forecast import Forecast
from .subject import Subject

SHORT, LONG = 4, 12  # new tokens: their difference is what writing takes, what is left is reading the prompts


def forecast_writing(subject: Subject, advance: Advance = silent) -> Forecast:
    """The stage in which the teacher answers prompts, adapters on it where the run adapts it.

    The best guess of an answer's length is that of the gold answers. The peak is that of the longest prompts.
    """
    seconds, peak = 0.0, 0
    asked = [task for task in subject.rows.tasks if "prompts" in task.splits]
    with _adapters(subject):
        for done, task in enumerate(asked, start=1):
            prompts = sorted(task.splits["prompts"], key=lambda row: len(row.prompt))
            size = min(subject.config.evaluation.batch_size, len(prompts))
            peak = max(peak, _written(subject, task, prompts[-size:], LONG)[1])  # the first pass of a task is slow
            pace = _pace(subject, task, prompts, size)
            seconds += pace.seconds(len(prompts), _lengths(subject, task), subject.config.evaluation.batch_size)
            advance(done, len(asked))
    return Forecast(WRITE_ANSWERS, seconds, peak)


@dataclass(frozen=True)
class _Pace:
    """Seconds."""

    call: float
    """Of the first batch, whatever it holds."""
    row: float
    """Of reading a prompt."""
    step: float
    """Of one more token for a batch, whatever it holds."""
    token: float
    """Of one more token for a row."""

    def seconds(self, n_row: int, lengths: Sequence[int], size: int) -> float:
        """Of `n_row` answers like those of `lengths` in batches of `size`, each as long as its longest answer."""
        batches = [lengths[i : i + size] for i in range(0, len(lengths), size)]
        longest = sum(map(max, batches)) / len(batches)
        n_token, n_step = n_row * sum(lengths) / len(lengths), -(-n_row // size) * longest
        return self.call + n_row * self.row + n_step * self.step + n_token * self.token


def _pace(subject: Subject, task: Task, prompts: Sequence[Row], size: int) -> _Pace:
    """From one row and from `size` rows, spread over all prompts, each with few and with more new tokens."""
    some = [prompts[i * len(prompts) // size] for i in range(size)]
    alone = _line(subject, task, [prompts[len(prompts) // 2]])
    if size == 1:
        return _Pace(0.0, alone[0], alone[1], 0.0)
    together = _line(subject, task, some)
    row, token = (max(many - one, 0.0) / (size - 1) for one, many in zip(alone, together, strict=True))
    return _Pace(max(together[0] - size * row, 0.0), row, max(together[1] - size * token, 0.0), token)


def _line(subject: Subject, task: Task, rows: Sequence[Row]) -> tuple[float, float]:
    """Seconds before the first new token, and of each new one."""
    short, long = (_written(subject, task, rows, n)[0] for n in (SHORT, LONG))
    step = max(long - short, 0.0) / (LONG - SHORT)
    return max(short - SHORT * step, 0.0), step


def _written(subject: Subject, task: Task, rows: Sequence[Row], n_token: int) -> tuple[float, int]:
    """Seconds and peak bytes of so many new tokens for each of the rows, none of which ends before."""
    config, ledger = subject.config, Ledger()
    draws = Draws(temperature=config.teacher.writes.temperature, seed=config.seed)
    with ledger.stage("write") as cost:
        write_texts(
            subject.teacher,
            rows,
            template=config.data.template,
            batch_size=len(rows),
            settings={"until": [], "max_gen_toks": n_token, **draws.settings},
            memory=Memory(),
            endless=True,
        )
    return cost.seconds, cost.peak_bytes


def _lengths(subject: Subject, task: Task) -> list[int]:
    """Tokens of the gold answers that are trained on, of this task where it has some, as far as there is room."""
    by_task = subject.rows.of_teacher.examples["train"]
    gold = by_task[task.name] or [example for examples in by_task.values() for example in examples]
    room = new_tokens(subject.config, task, subject.teacher)
    return [min(len(example.input_ids) - example.n_prompt, room) for example in gold]


@contextlib.contextmanager
def _adapters(subject: Subject) -> Iterator[None]:
    """Untrained ones on the teacher, which cost as much as trained ones."""
    if not subject.config.teacher.adapt:
        yield
        return
    context = adaptation(subject.config, subject.teacher)
    adapter = SFT().adapt(context, SFT().plan(context), subject.config.training.lora)
    try:
        subject.teacher.module.eval()
        yield
    finally:
        unload(adapter)
