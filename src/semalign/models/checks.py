"""What is wrong with a model's files, weights or tokenizer, said in one line before anything is run."""

import json
import warnings
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import UserError

INDEX = "model.safetensors.index.json"


def check_files(folder: Path) -> None:
    """A folder must hold config.json and whole safetensors; the headers are read, not the weights."""
    if not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").is_file()
        what = "is a PEFT adapter without its model; give the merged model" if adapter else "has no config.json"
        raise UserError(f"{folder}: {what}; a model is a folder with config.json, weights and tokenizer")
    if (folder / "adapter_config.json").is_file():  # transformers would apply it without a word
        raise UserError(f"{folder}: holds an adapter beside the model; merge it into the weights, or move it out")
    for shard in _shards(folder):
        try:
            with safe_open(shard, framework="pt") as opened:
                opened.keys()
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{shard}: corrupt or truncated safetensors ({error}); copy or download it again"
            ) from error


def _shards(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        return _indexed(folder)
    shards = sorted(folder.glob("*.safetensors"))
    if shards:
        return shards
    pickles = sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
    if pickles:
        how = "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder) where you trust the file"
        raise UserError(f"{folder}: only pickled weights ({pickles[0].name}); convert to safetensors: {how}")
    raise UserError(f"{folder}: no safetensors weights; put model.safetensors beside config.json")


def _indexed(folder: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values()))
        outside = [name for name in names if "/" in name or "\\" in name or name in {"", ".", ".."}]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(f"{folder / INDEX}: is not a safetensors index; copy or download it again") from error
    if outside:
        raise UserError(f"{folder / INDEX}: names '{outside[0]}', which is no file of its folder; get another copy")
    if not names:
        raise UserError(f"{folder / INDEX}: names no file; copy or download it again")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder}: {missing[0]} is missing though {INDEX} lists it; copy or download it again")
    return [folder / name for name in names]


def check_loaded(name: str, info: dict) -> None:
    """Every weight must come from the files with the shape the configuration says (tied heads are allowed)."""
    if info["mismatched_keys"]:
        key, found, expected = min(info["mismatched_keys"])
        raise UserError(
            f"{name}: weight {key} is {tuple(found)} in the files but config.json asks for {tuple(expected)}; "
            "the weights belong to another configuration"
        )
    if info["missing_keys"]:
        key, more = min(info["missing_keys"]), len(info["missing_keys"]) - 1
        raise UserError(
            f"{name}: weight {key} is not in the files{f' (and {more} more)' if more else ''}; they are incomplete"
        )
    unexpected = sorted(info["unexpected_keys"])
    if any("lora_" in key or "base_layer" in key for key in unexpected):
        raise UserError(f"{name}: the weights hold an adapter that is not merged; merge it and save again")
    if unexpected:
        warnings.warn(
            f"{name}: {len(unexpected)} weights of the files are not used, {unexpected[0]} first", stacklevel=3
        )


def check_weights(name: str, module: PreTrainedModel) -> None:
    """No weight may be NaN or infinite."""
    for key, value in module.named_parameters():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(f"{name}: weight {key} holds NaN or infinite values; get an intact copy of the model")


def check_tokenizer(name: str, module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """The tokenizer must fit the embedding: all its ids have a row, and the model's special ids are tokens."""
    embedding = cast(nn.Embedding, module.get_input_embeddings())
    n_row, n_token = embedding.weight.shape[0], len(tokenizer)
    reason = _misfit(module, tokenizer, n_row, n_token)
    if reason:
        raise UserError(
            f"{name}: the tokenizer is not this model's: {reason}; put the model's own tokenizer in its folder"
        )
    if n_token > n_row:
        # Gemma 3's text models ship with an image token that has no row
        warnings.warn(
            f"{name}: {n_token - n_row} added tokens have no row in the embedding and must not occur", stacklevel=3
        )


def _misfit(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, n_row: int, n_token: int) -> str | None:
    if tokenizer.vocab_size > n_row:
        return f"{n_token} tokens but {n_row} rows in the embedding"
    for kind in ("bos", "eos", "pad", "unk"):
        token_id = getattr(tokenizer, f"{kind}_token_id")
        if token_id is not None and token_id >= n_row:
            return f"its {kind} token has id {token_id} but the embedding has {n_row} rows"
    for kind in ("bos", "eos"):
        for token_id in _ids(getattr(module.config, f"{kind}_token_id", None)):
            if n_token <= token_id < n_row:
                return f"the model's {kind} token has id {token_id} but there are {n_token} tokens"
    if n_token < n_row / 2:  # padding of vocabularies is a few per cent at most
        return f"{n_token} tokens for {n_row} rows in the embedding"
    return None


def _ids(value: int | list[int] | None) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else value
