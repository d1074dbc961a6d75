"""Adapters on disk: plain PEFT folders, written whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..artifacts import whole_folder
from ..errors import UserError
from .language_model import LanguageModel
from .quiet import quiet
from .save import readable

if TYPE_CHECKING:
    from peft import PeftModel
else:  # importing peft takes four seconds, so only those who adapt pay for it
    PeftModel = Any

WEIGHTS = "adapter_model.safetensors"


def save_adapter(peft_model: PeftModel, folder: Path) -> None:
    """Write the adapter as PEFT does (adapter_config.json, adapter_model.safetensors)."""
    with whole_folder(folder) as temporary, quiet():
        # embeddings are never adapted, and looking whether they are would ask the hub
        peft_model.save_pretrained(str(temporary), save_embedding_layers=False)
        (temporary / "README.md").unlink(missing_ok=True)  # PEFT's card is an empty form
        readable(temporary)


def load_adapter(model: LanguageModel, folder: Path) -> PeftModel:
    """Put a saved adapter on `model`, in place, frozen. Only safetensors are read."""
    if not (folder / WEIGHTS).is_file():  # PEFT would take a pickled adapter_model.bin in its place
        raise UserError(f"{folder}: has no {WEIGHTS}; choose another --out, or delete the folder of this training")
    from peft import PeftModel as Adapted

    with quiet():
        return Adapted.from_pretrained(model.module, str(folder), is_trainable=False)
