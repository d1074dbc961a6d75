"""The engine of a training: how its processes share the rows of a step, through Accelerate."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.utils import patch_environment
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .. import ranks
from ..errors import UserError
from .engine_options import EngineName, EngineOptions

# Other processes wait while the first one does what is done once, which may be the evaluation of a large model.
PATIENCE = timedelta(days=7)
# How launchers tell a process how many it is one of: torchrun and accelerate, then MPI libraries.
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
START = "'torchrun --nproc_per_node N -m semalign run CONFIG' (docs/scale.md)"


@dataclass(frozen=True, eq=False)
class Engine:
    """One process, or several that each run a part of every step: their adapters stay equal, gradients are summed."""

    accelerator: Accelerator
    name: EngineName

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    @property
    def sharded(self) -> bool:
        """Whether the frozen weights of student and teacher are divided among the processes."""
        return self.name == "fsdp2"

    def prepare(self, step: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """The step as the engine runs it, and its optimiser. The step's forward returns the loss."""
        if ranks.n_rank() > 1:  # what is frozen is equal, or divided, already
            frozen = [name for name, p in step.named_parameters() if not p.requires_grad]
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(step, frozen)
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

    def about(self) -> dict[str, Any]:
        """What a record says of it; nothing of a process alone."""
        return {"engine": self.name, "processes": ranks.n_rank()} if ranks.n_rank() > 1 else {}


def start_engine(device: torch.device, options: EngineOptions | None = None) -> Engine:
    """The engine of this process on its kind of device.

    What a file of `accelerate launch` says is followed where `options` say nothing. Raises UserError where a launcher's
    processes do not find together, and where several were asked for and this is one.
    """
    launched = launched_processes(os.environ)
    name = _name(options, os.environ)
    if launched == 1:
        _refuse_alone(name, os.environ)
    with patch_environment(accelerate_use_fsdp="false"):  # blocks are divided by semalign.models.sharding
        accelerator = Accelerator(
            cpu=device.type == "cpu",
            kwargs_handlers=[
                # a stage, or a loss that looks at a state in the middle, leaves adapters without a gradient
                DistributedDataParallelKwargs(find_unused_parameters=True),
                InitProcessGroupKwargs(timeout=PATIENCE),
            ],
        )
    if accelerator.num_processes != launched:
        raise UserError(
            f"started as one of {launched} processes, but {accelerator.num_processes} found together: each would train "
            f"alone; start with {START}"
        )
    if accelerator.mixed_precision != "no" or accelerator.gradient_accumulation_steps != 1:
        raise UserError(
            "accelerate's mixed precision and gradient accumulation are set, but a run takes 'dtype' and "
            "'training.micro_batch_size' from its configuration; set them to 'no' and 1 in accelerate's file"
        )
    return Engine(accelerator, name or "ddp")


def launched_processes(environment: Mapping[str, str]) -> int:
    """How many processes a launcher says it has started; 1 without a launcher."""
    return next((int(environment[name]) for name in SIZES if environment.get(name)), 1)


def _name(options: EngineOptions | None, environment: Mapping[str, str]) -> EngineName | None:
    """What the configuration names, or accelerate's file; UserError where they differ."""
    file: EngineName | None = None
    if environment.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        if environment.get("FSDP_VERSION") == "1" or environment.get("FSDP_OFFLOAD_PARAMS", "false").lower() == "true":
            raise UserError("accelerate's file: of FSDP only 'fsdp_version: 2' without 'fsdp_offload_params' is there")
        file = "fsdp2"
    if file is not None and options is not None and options.name != file:
        raise UserError(f"engine: '{options.name}' here, but accelerate's file says {file}; leave one of them out")
    return options.name if options is not None else file


def _refuse_alone(name: EngineName | None, environment: Mapping[str, str]) -> None:
    """A process that knows of no other, where there should be some."""
    if name is not None:
        raise UserError(
            f"engine '{name}' divides a run among processes, but this is one alone; start with {START} "
            "('accelerate launch --cpu' starts one process whatever its --num_processes), or leave 'engine' out"
        )
    if int(environment.get("SLURM_STEP_NUM_TASKS") or 1) > 1:
        raise UserError(
            "srun started several tasks that do not know of each other: each would train alone; let each task start "
            "torchrun with --rdzv_backend=c10d and --rdzv_endpoint (docs/scale.md), or give srun --ntasks=1"
        )
