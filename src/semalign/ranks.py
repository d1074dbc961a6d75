"""The processes of a run: which one this is, and what they tell one another. Alone, nothing is sent."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from .errors import UserError

Value = TypeVar("Value")


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if _several() else 0


def n_rank() -> int:
    return dist.get_world_size() if _several() else 1


def is_first() -> bool:
    """Whether this process does what is done once: it alone writes to the run's folder."""
    return rank() == 0


def share(items: Sequence[Value]) -> list[Value]:
    """What of some items is this process's part: every n-th, so that parts are as even as can be."""
    return list(items[rank() :: n_rank()])


def dealt(items: Sequence[Value]) -> list[tuple[Value, bool]]:
    """`share`, each with whether it counts: every process gets as many, where one is left over it repeats the last.

    For work in which the processes send one another something at every item.
    """
    own = [(item, True) for item in share(items)]
    n_each = -(-len(items) // n_rank())
    return own + [(items[-1], False) for _ in range(n_each - len(own))]


def spread(
    work: Callable[[list[Value]], list[Any]],
    items: Sequence[Value],
    *,
    within: AbstractContextManager[Any] | None = None,
) -> list[Any]:
    """What `work` makes of items, one result for each, in their order; every process does its share of it.

    Every process enters `within` around its share, also where that is empty.
    """
    own = share(items)
    found: list[Any] = [None] * len(items)
    with within or nullcontext():
        done = work(own) if own else []
    for one, results in enumerate(gathered(done)):
        found[one :: n_rank()] = results
    return found


def wait() -> None:
    """Until every process is here."""
    if _several():
        dist.barrier()


def from_first(value: Value) -> Value:
    """The first process's value, in every process."""
    if not _several():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def once(work: Callable[[], Value]) -> Value:
    """What the first process's work gives, in every process; so does a mistake of the user's that it finds."""
    value: Any = None
    mistake: UserError | None = None
    if is_first():
        try:
            value = work()
        except UserError as error:
            mistake = error
    value, mistake = from_first((value, mistake))
    if mistake is not None:
        raise mistake
    return value


def gathered(value: Value) -> list[Value]:
    """Every process's value, in the order of the processes."""
    if not _several():
        return [value]
    found: list[Any] = [None] * n_rank()
    dist.all_gather_object(found, value)
    return found


def summed(values: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """Numbers by name, each summed over the processes; all of them hold the same names in the same order."""
    if not _several() or not values:
        return dict(values)
    sums = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
    dist.all_reduce(sums)
    return dict(zip(values, sums.tolist(), strict=True))


def any_of(asked: bool) -> bool:
    """Whether one of the processes says so."""
    return any(gathered(asked)) if _several() else asked


def leave() -> None:
    """The last thing that a process does with the others."""
    if _several():
        dist.barrier()
        dist.destroy_process_group()


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
