"""The engine of a training: how its processes share the rows of a step, through Accelerate."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.utils import patch_environment
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .. import ranks
from ..errors import UserError
from .engine_options import STAGE_3, EngineName, EngineOptions

# Other processes wait while the first one does what is done once, which may be the evaluation of a large model.
PATIENCE = timedelta(days=7)
# How launchers tell a process how many it is one of: torchrun and accelerate, then MPI libraries.
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
# What accelerate's file says of DeepSpeed beside the stage.
BESIDE_STAGE = (
    "ACCELERATE_DEEPSPEED_CONFIG_FILE",
    "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE",
    "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE",
)
START = "'torchrun --nproc_per_node N -m semalign run CONFIG' (docs/scale.md)"


@dataclass(frozen=True, eq=False)
class Engine:
    """One process, or several that each run a part of every step: their adapters stay equal, gradients are summed."""

    accelerator: Accelerator
    options: EngineOptions

    @property
    def name(self) -> EngineName:
        return self.options.name

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

    def backward(self, wrapped: nn.Module, loss: Tensor) -> None:
        """Add the gradient of this process's part of a loss, which is summed over the processes."""
        del wrapped
        if ranks.n_rank() > 1:
            loss = loss * ranks.n_rank()  # DDP averages, but each part is divided by the units of the whole batch
        self.accelerator.backward(loss)

    def clip(self, optimizer: Any, parameters: Sequence[nn.Parameter], largest: float) -> float:
        """Shorten the gradient to this norm where it is longer; its norm before."""
        del optimizer
        norm = self.accelerator.clip_grad_norm_(parameters, largest)
        return float(norm)  # pyright: ignore[reportArgumentType]  None is for engines that are not used here

    def whole(self, optimizer: Any) -> AbstractContextManager:
        """While the whole state of the optimiser is in the one that `prepare` was given, in every process."""
        del optimizer
        return nullcontext()

    def release(self, wrapped: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        """End a training: what was trained is as it was before `prepare`."""
        del parameters
        wrapped.eval()

    def about(self) -> dict[str, Any]:
        """What a record says of it; nothing of a process alone."""
        return {"engine": self.name, "processes": ranks.n_rank()} if ranks.n_rank() > 1 else {}


def start_engine(device: torch.device, options: EngineOptions | None = None) -> Engine:
    """The engine of this process on its kind of device.

    What a file of `accelerate launch` says is followed where `options` say nothing. Raises UserError where a launcher's
    processes do not find together, and where several were asked for and this is one.
    """
    launched = launched_processes(os.environ)
    options = _options(options, os.environ)
    if launched == 1:
        _refuse_alone(options, os.environ)
    if options is not None and options.name == "deepspeed" and find_spec("deepspeed") is None:
        raise UserError("engine 'deepspeed' needs the package deepspeed: pip install 'semalign[deepspeed]'")
    # blocks are divided by semalign.models.sharding, the optimiser's state by semalign.training.zero
    with patch_environment(accelerate_use_fsdp="false", accelerate_use_deepspeed="false"):
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
    options = options or EngineOptions(name="ddp")
    if options.name == "deepspeed":
        from .zero import ZeroEngine

        return ZeroEngine(accelerator, options)
    return Engine(accelerator, options)


def launched_processes(environment: Mapping[str, str]) -> int:
    """How many processes a launcher says it has started; 1 without a launcher."""
    return next((int(environment[name]) for name in SIZES if environment.get(name)), 1)


def _options(options: EngineOptions | None, environment: Mapping[str, str]) -> EngineOptions | None:
    """What the configuration says, or accelerate's file; UserError where they differ."""
    file: EngineOptions | None = None
    if _set(environment, "ACCELERATE_USE_FSDP"):
        if environment.get("FSDP_VERSION") == "1" or _set(environment, "FSDP_OFFLOAD_PARAMS"):
            raise UserError("accelerate's file: of FSDP only 'fsdp_version: 2' without 'fsdp_offload_params' is there")
        file = EngineOptions(name="fsdp2")
    if _set(environment, "ACCELERATE_USE_DEEPSPEED"):
        file = _of_deepspeed(environment)
    if file is not None and options is not None and options != file:
        raise UserError(
            f"engine: {_said(options)} here, but accelerate's file says {_said(file)}; leave one of them out"
        )
    return options or file


def _of_deepspeed(environment: Mapping[str, str]) -> EngineOptions:
    stage = environment.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    if stage == "3":
        raise UserError(f"accelerate's file: {STAGE_3}")
    beside = [name for name in BESIDE_STAGE if environment.get(name, "none").lower() not in ("none", "false")]
    if stage not in ("1", "2") or beside:
        raise UserError(
            "accelerate's file: of DeepSpeed only 'zero_stage' 1 or 2 is there, without offloading and without "
            "'deepspeed_config_file': the rest is the run's configuration's"
        )
    return EngineOptions(name="deepspeed", stage=1 if stage == "1" else None)


def _said(options: EngineOptions) -> str:
    return f"'{options.name}'" + (f" with stage {options.stage}" if options.stage else "")


def _set(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "false").lower() == "true"


def _refuse_alone(options: EngineOptions | None, environment: Mapping[str, str]) -> None:
    """A process that knows of no other, where there should be some."""
    if options is not None:
        raise UserError(
            f"engine '{options.name}' divides a run among processes, but this is one alone; start with {START} "
            "('accelerate launch --cpu' starts one process whatever its --num_processes), or leave 'engine' out"
        )
    if int(environment.get("SLURM_STEP_NUM_TASKS") or 1) > 1:
        raise UserError(
            "srun started several tasks that do not know of each other: each would train alone; let each task start "
            "torchrun with --rdzv_backend=c10d and --rdzv_endpoint (docs/scale.md), or give srun --ntasks=1"
        )
