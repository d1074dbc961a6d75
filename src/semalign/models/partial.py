"""Run a part of a model: from a block whose input is at hand, up to the deepest state that is asked for."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from .language_model import LanguageModel
from .listen import FINAL, Point, listen
from .trunk import Encoded, run_trunk


def states_of(
    model: LanguageModel,
    points: Iterable[Point],
    input_ids: Int[Tensor, "b pos"],
    attention_mask: Int[Tensor, "b pos"],
    *,
    encoder: Encoded | None = None,
    first: int = 0,
    entry: Float[Tensor, "b pos width"] | None = None,
) -> dict[Point, Tensor]:
    """The states at `points`, in the graph; blocks behind the deepest point do not run.

    With `entry`, the states that enter block `first`, the blocks before it do not run either (they do where the first
    one makes something for all others). Points before `first` cannot be asked for. An `encoder` runs whole.
    """
    points = list(dict.fromkeys(points))
    assert all(point == FINAL or point.layer >= first for point in points), "no state before the first block that runs"
    last = model.n_layer - 1 if FINAL in points else max(point.layer for point in points)
    skips = entry is not None and not model.family.shared_bias
    with ExitStack() as stack:
        idle = [i for i in range(model.n_layer) if i > last or (skips and i < first)]
        stack.enter_context(_idle(model, idle))
        if entry is not None:
            hook = model.blocks[first].register_forward_pre_hook(_enter(entry), with_kwargs=True)
            stack.callback(hook.remove)
        heard = stack.enter_context(listen(model, points))
        run_trunk(model, input_ids, attention_mask, encoder=encoder)
    return heard


def _enter(entry: Tensor) -> Any:
    def hook(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (entry, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": entry}

    return hook


@contextmanager
def _idle(model: LanguageModel, layers: list[int]) -> Iterator[None]:
    """The given blocks hand their input on within the block; the same modules are back afterwards."""
    blocks: nn.Module = model.module.get_submodule(model.family.blocks)
    held = {str(layer): blocks._modules[str(layer)] for layer in layers}
    try:
        for name, block in held.items():
            # what a block of somebody's own code returns is not known; it runs, and its output is not looked at
            if type(block).__module__.startswith("transformers."):
                blocks._modules[name] = _IdleWithBias(block) if model.family.shared_bias else _Idle(block)
        yield
    finally:
        blocks._modules.update(held)


class _Idle(nn.Module):
    """Stands in for a block: its output is its input, its attributes (the kind of attention) are the block's."""

    def __init__(self, block: nn.Module | None) -> None:
        super().__init__()
        self._held = (block,)  # in a tuple: the block must not become a submodule

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_held"][0], name)

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return hidden_states


class _IdleWithBias(_Idle):
    """Hands on the position biases too, as T5's blocks do."""

    def forward(
        self, hidden_states: Tensor, mask: Tensor | None, bias: Tensor | None, *args: Any, **kwargs: Any
    ) -> Any:
        _, _, cross_bias = args
        return hidden_states, bias, cross_bias
