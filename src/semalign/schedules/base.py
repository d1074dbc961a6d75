"""What a schedule is: the stages of a training, each with the paired layers that train in it."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass

from ..strategy import Strategy


@dataclass(frozen=True, kw_only=True)
class Schedule(Strategy, abc.ABC, kind="schedule"):
    """In which order paired student layers train. The steps of a run are divided among the stages as evenly as can be.

    Whatever the schedule, the budget is the same: rows, steps, batches.
    """

    @abc.abstractmethod
    def stages(self, layers: Sequence[int]) -> list[tuple[int, ...]]:
        """Every layer of `layers` (student layers in order) in exactly one stage."""


@dataclass(frozen=True, kw_only=True)
class Sequential(Schedule):
    """One paired layer trains at a time; those that trained before keep what they learned, the others what they were.

    In a stage the blocks below the one that trains run without dropout and without a graph.
    """

    cache: bool = True
    """Keep the states that enter the training block, by row: what lies below is computed once, not at every step. Costs
    width x 4 bytes a token of the training rows."""

    def stages(self, layers: Sequence[int]) -> list[tuple[int, ...]]:
        return [(layer,) for layer in self.order(layers)]

    @abc.abstractmethod
    def order(self, layers: Sequence[int]) -> list[int]:
        """The layers in the order in which they train."""
