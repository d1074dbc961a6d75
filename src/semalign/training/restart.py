"""Going on from a checkpoint: when a process begins, and when training goes back to before a bad step."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import ranks
from ..errors import UserError
from . import checkpoint
from .mishaps import Mishaps
from .tally import Tally


class Restart:
    """The state of a training, saved and restored; made before anything is trained."""

    def __init__(
        self,
        folder: Path,
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        *,
        seed: int,
        mishaps: Mishaps,
        tally: Tally,
    ) -> None:
        self._folder, self._parameters, self._optimizer = folder, parameters, optimizer
        self._seed, self._mishaps, self._tally = seed, mishaps, tally
        self._began = tally.plain()
        goes_back = mishaps.options.on_trouble == "roll_back"
        self._first = {name: p.detach().clone() for name, p in parameters.items()} if goes_back else {}

    def begin(self) -> int:
        """Go on from what an earlier process left; the step."""
        step, carried = self._restore()
        if step:
            self._tally.resume(carried)
        return step

    def after_mishap(self, step: int, random_numbers: dict[str, Tensor]) -> int:
        """Where nothing is undone, stand where the bad step began, as if its batch had not been; the step to go to."""
        if self._mishaps.options.on_trouble != "roll_back":
            checkpoint.set_random_state(random_numbers)
            return step
        found, carried = self._restore()
        self._tally.go_on(carried or self._began)
        return found

    def save(self, step: int) -> None:
        checkpoint.save(self._folder, step, self._parameters, self._optimizer, self._tally.plain())

    def _restore(self) -> tuple[int, dict[str, Any]]:
        for step in checkpoint.found(self._folder):
            if self._mishaps.outdated(step):
                checkpoint.drop(self._folder, step)
        ranks.wait()
        found = checkpoint.restore(self._folder, self._parameters, self._optimizer, self._mishaps.damaged)
        if len(set(ranks.gathered(found[0]))) > 1:
            raise UserError(f"{self._folder}: the processes find different checkpoints in it; it must be one for all")
        if found[0] == 0:
            self._optimizer.state.clear()
            torch.manual_seed(self._seed + ranks.rank())
            with torch.no_grad():
                for name, value in self._first.items():
                    self._parameters[name].copy_(value)
        return found
