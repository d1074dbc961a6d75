"""A batch whose step went wrong, row by row, as it is saved for a person to look at."""

from collections.abc import Sequence
from typing import Any

import torch

from ..data import Example, collate
from .mishaps import plain_number


@torch.no_grad()
def suspect_batch(step_module: Any, rows: Sequence[Example], pad_id: int, entry: dict[str, Any]) -> dict[str, Any]:
    """The loss and terms of the step, and of every row its tokens and the loss it has alone; no random number is used.

    Numbers that are not finite are given by name.
    """
    device = next(step_module.parameters()).device
    with torch.random.fork_rng():
        losses = []
        for row in rows:
            batch = collate([row], pad_id).to(device)
            losses.append(float(step_module(batch, step_module.units(batch))[0]))
    return {
        "loss": plain_number(entry["loss"]),
        "grad_norm": plain_number(entry["grad_norm"]),
        "terms": {term: plain_number(value) for term, value in entry["terms"].items()},
        "rows": [
            {"id": row.id, "loss": plain_number(loss), "n_prompt": row.n_prompt, "input_ids": list(row.input_ids)}
            for row, loss in zip(rows, losses, strict=True)
        ],
    }
