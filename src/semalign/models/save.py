"""Save a plain Hugging Face folder: safetensors, tokenizer, nothing of ours inside, whole or not at all."""

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..artifacts import whole_folder
from .quiet import quiet


def save_plain(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write `folder` so that transformers loads it where semalign is not installed."""
    adapted = [name for name, _ in module.named_parameters() if "lora_" in name or "base_layer" in name]
    assert not adapted, f"merge or unload the adapter before saving: {adapted[0]}"
    with whole_folder(folder) as temporary, quiet():
        module.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        readable(temporary)


def readable(folder: Path) -> None:
    """safetensors leaves files that only their owner may read."""
    for file in folder.iterdir():
        file.chmod(0o644)
