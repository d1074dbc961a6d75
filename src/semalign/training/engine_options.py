"""What a user may say about the engine that several processes train by."""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import model_serializer, model_validator

from ..settings import Part, without_unchanged

STAGE_3 = "DeepSpeed's stage 3 divides weights, and losses read the head outside the model; engine 'fsdp2' divides them"

EngineName = Literal["ddp", "fsdp2", "deepspeed"]


class EngineOptions(Part):
    """`ddp`: the models whole in each process. `fsdp2`: the weights of their blocks divided among the processes.

    `deepspeed`: the models whole, the optimiser's state divided (ZeRO 1), and the gradients with it (ZeRO 2).
    """

    name: EngineName
    stage: Literal[1, 2, 3] | None = None
    """The stage of ZeRO; None: 2."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_an_effect(self) -> "EngineOptions":
        if self.stage is not None and self.name != "deepspeed":
            raise ValueError(f"'stage' is of engine 'deepspeed', and this is '{self.name}'; leave it out")
        if self.stage == 3:
            raise ValueError(STAGE_3)
        return self

    @model_serializer(mode="wrap")
    def _without_default(self, plain: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_unchanged(self, plain(self), ("stage",))
