"""Listen to activations by site, and silence contributions; no hook is left behind, also after an exception.

attn_out and mlp_out are what the sub-layer adds to the residual stream; block_delta is a block's output minus its
input; block_out is its output; FINAL is the state after the final norm, which the head reads.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from ..errors import UserError, unknown
from .language_model import LanguageModel

Site = Literal["attn_out", "mlp_out", "block_delta", "block_out", "final"]


class Point(NamedTuple):
    """A site at a layer; `layer` is -1 for the final state."""

    site: Site
    layer: int


FINAL = Point("final", -1)

Hook = Callable[..., Any]


@contextmanager
def listen(model: LanguageModel, points: Iterable[Point]) -> Iterator[dict[Point, Tensor]]:
    """A dictionary that each forward pass fills with states of shape [batch, position, width], part of the graph."""
    heard: dict[Point, Tensor] = {}
    with ExitStack() as hooks:
        for point in dict.fromkeys(points):
            _listen_to(model, point, heard, hooks)
        yield heard


@contextmanager
def silence(model: LanguageModel, points: Iterable[Point]) -> Iterator[None]:
    """Contributions at attn_out, mlp_out or block_delta are zero within the block (for occlusion)."""
    with ExitStack() as hooks:
        for point in dict.fromkeys(points):
            if point.site in ("block_out", "final"):
                raise UserError(
                    f"site '{point.site}' is a state, not a contribution; silence attn_out, mlp_out or block_delta"
                )
            hook = _keep_input if point.site == "block_delta" else _zero
            _hook(hooks, _module(model, point), hook)
        yield


def check_layer_site(site: Site) -> None:
    """Refuse the site that belongs to no layer."""
    if site == "final":
        raise UserError("site 'final' belongs to no layer; choose mlp_out, attn_out, block_delta or block_out")


def check_layers(layers: Sequence[int], n_layer: int, where: str) -> None:
    """Refuse layer indices that the model does not have."""
    wrong = [layer for layer in layers if not 0 <= layer < n_layer]
    if wrong:
        raise UserError(f"{where}: no layer {wrong[0]}; layers are 0 to {n_layer - 1}")


def _listen_to(model: LanguageModel, point: Point, heard: dict[Point, Tensor], hooks: ExitStack) -> None:
    module = _module(model, point)
    if point.site == "block_delta":
        _hook(hooks, module, _delta_hook(point, heard))
    elif point.site in ("attn_out", "mlp_out"):
        shape: list[torch.Size] = []
        block = model.blocks[point.layer]
        hooks.callback(block.register_forward_pre_hook(_shape_hook(shape), with_kwargs=True).remove)
        _hook(hooks, module, _contribution_hook(point, heard, shape, model.residual_scale))
    else:
        _hook(hooks, module, _state_hook(point, heard))


def _state_hook(point: Point, heard: dict[Point, Tensor]) -> Hook:
    def hook(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        heard[point] = _tensor(output)

    return hook


def _delta_hook(point: Point, heard: dict[Point, Tensor]) -> Hook:
    def hook(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        state, before = _tensor(output), _input(args, kwargs)
        heard[point] = state - before
        return _replace(output, _routed(state, before, heard[point]))

    return hook


def _contribution_hook(point: Point, heard: dict[Point, Tensor], shape: list[torch.Size], scale: float) -> Hook:
    def hook(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        raw = _tensor(output)
        if raw.shape == shape[0] and scale == 1:
            heard[point] = raw
            return output
        heard[point] = raw.view(shape[0]) * scale
        return _replace(output, _routed(raw, heard[point].view(raw.shape) / scale))

    return hook


def _shape_hook(shape: list[torch.Size]) -> Hook:
    """Remembers the block's input shape: OPT flattens positions before its MLP."""

    def hook(module: nn.Module, args: tuple, kwargs: dict) -> None:
        shape[:] = [_input(args, kwargs).shape]

    return hook


def _routed(value: Tensor, *sources: Tensor) -> Tensor:
    """`value`, the same to the bit, whose gradient passes `sources`, so that what is heard lies on the loss's path."""
    if not value.requires_grad:
        return value
    return value.detach() + sum(source - source.detach() for source in sources)


def _module(model: LanguageModel, point: Point) -> nn.Module:
    if point.site not in get_args(Site):
        raise unknown("site", point.site, get_args(Site), model.name)
    if point.site == "final":
        return model.blocks[-1] if model.family.norm is None else model.norm
    check_layers([point.layer], model.n_layer, f"{model.name}, site {point.site}")
    block = model.blocks[point.layer]
    paths = {"attn_out": model.family.attention_site, "mlp_out": model.family.mlp_site}
    return block.get_submodule(paths[point.site]) if point.site in paths else block


def _hook(hooks: ExitStack, module: nn.Module, hook: Hook) -> None:
    hooks.callback(module.register_forward_hook(hook, with_kwargs=True).remove)


def _tensor(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _input(args: tuple, kwargs: dict) -> Tensor:
    return args[0] if args else kwargs["hidden_states"]


def _replace(output: Any, value: Tensor) -> Any:
    return (value, *output[1:]) if isinstance(output, tuple) else value


def _zero(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
    return _replace(output, torch.zeros_like(_tensor(output)))


def _keep_input(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
    return _replace(output, _input(args, kwargs))
