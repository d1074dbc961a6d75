"""The engine of a training: how its processes share the rows of a step, through Accelerate."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn

from .. import ranks
from ..errors import UserError

# Other processes wait while the first one does what is done once, which may be the evaluation of a large model.
PATIENCE = timedelta(days=7)
# How launchers tell a process how many it is one of: torchrun and accelerate, then MPI libraries.
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


@dataclass(frozen=True, eq=False)
class Engine:
    """One process, or several that each run a part of every step: their adapters stay equal, gradients are summed."""

    accelerator: Accelerator

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    def prepare(self, step: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """The step as the engine runs it, and its optimiser. The step's forward returns the loss."""
        return self.accelerator.prepare(step, optimizer)

    def part(self, wrapped: nn.Module, *, last: bool) -> AbstractContextManager:
        """Around forward and backward of a part of a step; gradients meet in the last one."""
        return nullcontext() if last or ranks.n_rank() == 1 else self.accelerator.no_sync(wrapped)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of this process's part of a loss, which is summed over the processes."""
        if ranks.n_rank() > 1:
            loss = loss * ranks.n_rank()  # DDP averages, but each part is divided by the units of the whole batch
        self.accelerator.backward(loss)

    def clip(self, parameters: Sequence[nn.Parameter], largest: float) -> float:
        """Shorten the gradient to this norm where it is longer; its norm before."""
        norm = self.accelerator.clip_grad_norm_(parameters, largest)
        return float(norm)  # pyright: ignore[reportArgumentType]  None is for engines that are not used here


def start_engine(device: torch.device) -> Engine:
    """The engine of this process on its kind of device; UserError where a launcher's processes do not find together."""
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        kwargs_handlers=[
            # a stage, or a loss that looks at a state in the middle, leaves adapters without a gradient
            DistributedDataParallelKwargs(find_unused_parameters=True),
            InitProcessGroupKwargs(timeout=PATIENCE),
        ],
    )
    launched = launched_processes()
    if accelerator.num_processes != launched:
        raise UserError(
            f"started as one of {launched} processes, but {accelerator.num_processes} found together: each would train "
            "alone; start with 'torchrun --nproc_per_node N -m semalign run CONFIG' (docs/scale.md)"
        )
    return Engine(accelerator)


def launched_processes() -> int:
    """How many processes a launcher says it has started; 1 without a launcher."""
    return next((int(os.environ[name]) for name in SIZES if os.environ.get(name)), 1)
