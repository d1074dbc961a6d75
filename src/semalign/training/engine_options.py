"""What a user may say about the engine that several processes train by."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

EngineName = Literal["ddp", "fsdp2"]


class EngineOptions(BaseModel):
    """`ddp`: the models whole in each process. `fsdp2`: the weights of their blocks divided among the processes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: EngineName

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value
