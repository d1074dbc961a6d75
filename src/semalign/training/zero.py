"""DeepSpeed's ZeRO on what a training trains: optimiser state and gradients divided among processes, weights whole.

Source: Rajbhandari et al. 2020, arXiv:1910.02054 (stages 1 and 2).
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from accelerate.utils import patch_environment
from torch import Tensor, nn

from .. import ranks
from .engine import Engine

MOMENTS = ("exp_avg", "exp_avg_sq")


class ZeroEngine(Engine):
    """Several processes that each hold a part of the optimiser's state. Trained weights are float32."""

    def prepare(self, step: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        with patch_environment(**({"ds_accelerator": "cpu"} if self.device.type == "cpu" else {})):
            import deepspeed  # pyright: ignore[reportMissingImports]  an optional package
        if self.device.type == "cpu":  # gloo alone, where DeepSpeed would have a compiler build its own
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
        config = {
            "train_micro_batch_size_per_gpu": 1,  # no number here is divided by it
            "gradient_accumulation_steps": 1,  # boundaries are set by `part`
            "zero_allow_untested_optimizer": True,
            "zero_optimization": {"stage": self.options.stage or 2},
            "steps_per_print": None,
        }
        group = optimizer.param_groups[0]
        divided = torch.optim.AdamW(group["params"], lr=group["lr"], weight_decay=group["weight_decay"])
        wrapped, *_ = deepspeed.initialize(
            model=_Trained(step, group["params"]), optimizer=divided, config=config, dist_init_required=False
        )
        return wrapped, _Divided(wrapped, optimizer, deepspeed.utils)

    def part(self, wrapped: Any, *, last: bool) -> AbstractContextManager:
        wrapped.set_gradient_accumulation_boundary(last)
        return nullcontext()

    def backward(self, wrapped: Any, loss: Tensor) -> None:
        wrapped.backward(loss * ranks.n_rank())  # DeepSpeed averages, but each part is divided by the whole's units

    def clip(self, optimizer: Any, parameters: Sequence[nn.Parameter], largest: float) -> float:
        return optimizer.clip(largest)

    @contextmanager
    def whole(self, optimizer: Any) -> Iterator[None]:
        optimizer.gather()
        yield
        optimizer.plain.state.clear()

    def release(self, wrapped: Any, parameters: Sequence[nn.Parameter]) -> None:
        super().release(wrapped, parameters)
        wrapped.destroy()
        for parameter in parameters:  # they were parts of one tensor
            parameter.data = parameter.data.clone()


class _Trained(nn.Module):
    """A step of which DeepSpeed sees what trains alone: frozen weights keep their dtype and are not sent."""

    def __init__(self, step: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.parameters_of_step = nn.ParameterList(parameters)
        self._steps = (step,)  # in a tuple it is no submodule

    def forward(self, *batch: Any) -> Any:
        return self._steps[0](*batch)

    def train(self, mode: bool = True) -> "_Trained":
        self._steps[0].train(mode)
        return super().train(mode)


class _Divided:
    """The optimiser of a DeepSpeed engine, which starts from the state of a plain one and can give it back there."""

    def __init__(self, engine: Any, plain: torch.optim.Optimizer, utils: Any) -> None:
        self.engine, self.plain, self._utils = engine, plain, utils
        self.parameters: list[nn.Parameter] = plain.param_groups[0]["params"]
        self._scatter()

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.engine.optimizer.param_groups

    def step(self) -> None:
        self.engine.step()

    def zero_grad(self) -> None:
        """Nothing: the step has let go of the gradients."""

    def clip(self, largest: float) -> float:
        """Have the next step shorten the gradient to this norm; its norm now, not a number where it has none."""
        self.engine.optimizer.clip_grad = largest
        norm = float(self.engine.optimizer.scaled_global_norm())
        return norm if norm >= 0 else math.nan  # -1 says that a gradient is not finite

    def gather(self) -> None:
        """Put the whole state into the plain optimiser, in every process."""
        step = self._state["step"]
        for parameter in self.parameters:
            moments = {name: self._utils.safe_get_full_optimizer_state(parameter, name) for name in MOMENTS}
            self.plain.state[parameter] = {"step": step.clone(), **moments}

    def _scatter(self) -> None:
        """Start from the plain optimiser's state, of which each process keeps its part."""
        part: Tensor = self.param_groups[0]["params"][0]
        n_step = max((float(of_one["step"]) for of_one in self.plain.state.values()), default=0.0)
        self._state: dict[str, Any] = self.engine.optimizer.optimizer.state[part]
        self._state |= {"step": torch.tensor(n_step), **{name: torch.zeros_like(part) for name in MOMENTS}}
        self.engine.optimizer._lazy_init_hp_params_optimizer_state()
        for parameter, of_one in self.plain.state.items():
            for name in MOMENTS:
                self._utils.safe_set_full_optimizer_state(parameter, of_one[name], name)
        self.plain.state.clear()
