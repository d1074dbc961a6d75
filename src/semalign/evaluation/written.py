"""Texts that a model writes after rows' prompts, for a purpose other than a score."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance

from semalign.data import Row, Template, prompt_text
from semalign.evaluation.harness import quiet
from semalign.evaluation.memory import Memory
from semalign.evaluation.score_tasks import open_model
from semalign.evaluation.texts import Written
from semalign.models import LanguageModel


def write_texts(
    model: LanguageModel,
    rows: Sequence[Row],
    *,
    template: Template,
    batch_size: int,
    settings: Mapping[str, Any],
    memory: Memory,
    progress: Callable[[int, int], None] | None = None,
    endless: bool = False,
) -> list[Written]:
    """What the model writes in place of each row's answer; `settings` are lm-eval's `generation_kwargs`.

    What `memory` holds is not written again. Called with the rows done and all of them, `progress` follows. `endless`
    texts go on past end tokens until their room is full, to measure what writing takes.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet())
        lm = open_model(stack, model, template, batch_size)
        lm.memory = memory
        if endless:
            lm.ignore_ends()
        lm.begin(rows, progress, len(rows))
        texts = [prompt_text(row, lm.tokenizer, template) for row in rows]
        return lm.written([Instance("generate_until", {}, (text, dict(settings)), i) for i, text in enumerate(texts)])
