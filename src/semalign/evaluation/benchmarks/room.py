"""Whether a model's context has room for the answers of lm-eval's tasks, asked before the first row."""

from pathlib import Path

import lm_eval
from lm_eval.tasks._yaml_loader import load_yaml

from semalign.errors import UserError
from semalign.evaluation.benchmarks.options import Options
from semalign.evaluation.benchmarks.upstream import GENERATED, HOMES
from semalign.models import LanguageModel, context_length


def check_room(model: LanguageModel, options: Options) -> None:
    """Raise UserError where a task of the lm-eval protocol generates more than a model's context holds, or asks one
    that is not decoder-only."""
    if options.protocol == "lm-eval" and model.is_encoder_decoder:
        raise UserError(
            f"{model.name} is an encoder-decoder, but lm-eval's tasks are for decoder-only models; use protocol paper"
        )
    context = context_length(model)
    if options.protocol != "lm-eval" or context is None:
        return
    for task in options.tasks:
        room = _room(task)
        if room >= context:
            raise UserError(
                f"{task}: lm-eval's task generates up to {room} tokens, which leaves no room for a prompt in the "
                f"context of {model.name}, {context}; use protocol paper, or leave the task out"
            )


def _room(task: str) -> int:
    """Tokens that an answer may have; 0 where none is generated."""
    if task == "mmlu":
        return 0
    home = Path(lm_eval.__file__).parent / "tasks" / HOMES[task]
    generation = load_yaml(home / f"{task}.yaml", resolve_func=False)["generation_kwargs"]
    return int(generation.get("max_gen_toks", GENERATED))
