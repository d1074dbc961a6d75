"""What a user may say about training; the defaults are the paper's where it states them."""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_serializer,
    model_validator,
)

from ..settings import Part, without_unchanged


class LoraOptions(Part):
    """Adapters on the trained layers. Defaults: the paper's protocol."""

    rank: PositiveInt = 16
    alpha: PositiveInt = 16
    dropout: float = Field(default=0.05, ge=0, lt=1)
    roles: tuple[Literal["q", "k", "v", "o", "cross_q", "cross_k", "cross_v", "cross_o", "gate", "up", "down"], ...] = (
        Field(default=("up", "down", "v", "o"), min_length=1)
    )
    """Which matrices of a layer; those with `cross_` are of an encoder-decoder's attention to its prompt."""


class TrainingOptions(Part):
    """One budget for every method of a run: the same steps, batch size and optimiser."""

    epochs: PositiveInt = 5
    batch_size: PositiveInt = 64
    micro_batch_size: PositiveInt | None = None
    """Rows a forward; the gradients of a batch are accumulated exactly. None: the whole batch at once."""
    max_padding: float | None = Field(default=None, gt=0, lt=1)
    """Largest share of padding: the rows of a batch run in as many parts of like lengths as that takes, of no more than
    `micro_batch_size` rows, and their gradients are accumulated exactly. None: in parts of that size."""
    gradient_checkpointing: bool = False
    """Run the student's blocks again in the backward pass, where they would keep their activations for it: about a
    forward of the blocks more a step for much less memory, and the same numbers."""
    learning_rate: PositiveFloat = 3e-4
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps with a rising learning rate; a cosine falls to 0 after it."""
    weight_decay: NonNegativeFloat = 0.0
    gradient_clip: PositiveFloat = 1.0
    checkpoint_every: PositiveInt = 20
    """Steps between checkpoints; a run that was stopped goes on from the last one."""
    diagnose_every: PositiveInt = 25
    """Steps between measurements of each loss term's own gradient norm."""
    on_trouble: Literal["stop", "skip", "roll_back"] = "stop"
    """What becomes of a step whose loss or gradient is not finite, or whose loss jumps: training stops, or leaves the
    batch out (`skip`), or goes back to a checkpoint before it and leaves out the batches from there to it."""
    spike_factor: float | None = Field(default=None, gt=1)
    """A loss so many times the median of the last 50 steps is such a jump. None: no loss is, however large."""
    lora: LoraOptions = LoraOptions()

    def n_step(self, n_row: int) -> int:
        """Optimiser steps on so many training rows; the last batch of an epoch is as small as it comes."""
        return -(-n_row // self.batch_size) * self.epochs

    @model_serializer(mode="wrap")
    def _without_default(self, plain: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_unchanged(self, plain(self), ("gradient_checkpointing", "on_trouble", "spike_factor"))

    @model_validator(mode="after")
    def _has_an_effect(self) -> "TrainingOptions":
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_size:
            raise ValueError(
                f"micro_batch_size {self.micro_batch_size} is more than batch_size {self.batch_size}; lower it"
            )
        return self
