"""A frozen model divided among processes: each keeps a part of every block's weights, and gets the rest as it runs.

What is trained is not divided: adapters are small, and each process has them whole.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from .. import ranks
from .evaluating import evaluating
from .language_model import LanguageModel
from .listen import Point
from .partial import states_of


def shard(model: LanguageModel, device: torch.device) -> None:
    """Divide the blocks of a model among all processes, and move it to their device, in place.

    Its blocks run as before, in as many passes in every process. The embedding, the final norm and the head stay whole:
    losses read the head by chunks, outside the model's forward. Needs a process group.
    Source: Zhao et al. 2023, arXiv:2304.11277 (FSDP); torch's fully_shard, one parameter at a time.
    """
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    divided = {p for block in model.blocks for p in block.parameters()}
    for block in model.blocks:
        made_by = type(block).__module__
        fully_shard(block, mesh=mesh)
        type(block).__module__ = made_by  # it stays a block of transformers, which may be left out of a pass
    whole = {p for p in model.module.parameters() if p not in divided}
    fully_shard(model.module.base_model, mesh=mesh, ignored_params=whole)
    model.module.to(device)  # pyright: ignore[reportArgumentType]


def is_sharded(model: LanguageModel) -> bool:
    """Whether the model runs only where every process runs it as often."""
    return any(isinstance(block, FSDPModule) for block in model.blocks)


@contextmanager
def in_company(model: LanguageModel) -> Iterator[None]:
    """Within the block each process may run a sharded model as often as it likes, on what it likes, without gradients.

    A process whose block is done runs the model along with the others, on one token, until all are done. Nothing else
    may be sent between processes within the block. Models that are not sharded run as ever.
    """
    if not is_sharded(model):
        yield
        return
    joining = model.blocks[0].register_forward_pre_hook(lambda *_: ranks.any_of(True) and None, prepend=True)
    try:
        yield
    finally:
        joining.remove()
    token = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    with torch.no_grad(), evaluating(model.module):
        while ranks.any_of(False):
            model.module(token, use_cache=False)


def through_outputs(
    model: LanguageModel, points: Sequence[Point], *rows: Tensor, **options: Any
) -> dict[Point, Tensor]:
    """`states_of` a sharded model, of which any subset may be what the loss is made of.

    A block gets its weights back when a gradient reaches its output, so the gradient of a state inside it passes there.
    """
    outputs = {point: Point("block_out", point.layer) for point in points if point.site in ("attn_out", "mlp_out")}
    states = states_of(model, [*points, *outputs.values()], *rows, **options)
    passed = {point: _Through.apply(states[point], states[output]) for point, output in outputs.items()}
    return {**{point: states[point] for point in points}, **passed}


class _Through(torch.autograd.Function):
    """The first of two tensors of one shape, the same to the bit; the second gets a gradient of 0."""

    @staticmethod
    def forward(ctx: Any, state: Tensor, output: Tensor) -> Tensor:
        del ctx, output
        return state.view_as(state)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        del ctx
        return gradient, torch.zeros_like(gradient)
