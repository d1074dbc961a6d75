"""Load a language model from a folder, a hub id or the embedded pair, checked before it is used."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import try_to_load_from_cache
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ..errors import UserError, unknown
from .checks import check_files, check_loaded, check_tokenizer, check_weights
from .discover import assemble
from .language_model import LanguageModel
from .quantized import Quantization, packing, with_gradients
from .quiet import quiet

Dtype = Literal["auto", "float32", "bfloat16", "float16", "float64"]
EMBEDDED = ("teacher", "student")


def load(
    name: str,
    *,
    revision: str | None = None,
    dtype: Dtype = "auto",
    device: str | torch.device = "cpu",
    trust_remote_code: bool = False,
    quantization: Quantization | None = None,
) -> LanguageModel:
    """The model `name` in evaluation mode, its weights frozen: a folder, a hub id, or "embedded:teacher" or ":student".

    Only safetensors are read. `dtype` "auto" keeps the dtype of the files. HF_HUB_OFFLINE is respected. With
    `quantization` the layers' weights are packed as they are loaded, and `dtype` is what they compute in.
    """
    source = _source(name)
    if revision is not None and Path(source).is_dir():
        raise UserError(f"{name}: 'revision' has no effect on a folder, only on a hub id; leave it out")
    options = {
        "revision": revision,
        "trust_remote_code": trust_remote_code,
        "local_files_only": os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"},
    }
    with quiet():
        config = _config(name, source, options)
        # one commit for configuration, tokenizer and weights, also where the branch moves on meanwhile
        commit = _commit(source, revision)
        options["revision"] = commit or revision
        kind = _kind(name, config)
        tokenizer = _tokenizer(name, source, options)
        packed = packing(quantization, dtype, device) if quantization else {}
        module = _module(name, source, dtype, options | packed, kind)
    check_weights(name, module)
    check_tokenizer(name, module, tokenizer)
    # packed weights are where they were packed
    module = with_gradients(module) if quantization else module.to(device)  # pyright: ignore[reportArgumentType]
    module = module.eval().requires_grad_(False)
    return replace(assemble(name, module, tokenizer), commit=commit)


def _source(name: str) -> str:
    """What transformers loads from: an existing folder's path, or the hub id as given."""
    if name.startswith("embedded:"):
        return str(_embedded(name.removeprefix("embedded:")))
    folder = Path(name).expanduser()
    if folder.is_dir():
        check_files(folder)
        return str(folder)
    if folder.exists():
        raise UserError(f"{name}: is a file; a model is a folder with config.json, or a hub id such as 'org/name'")
    if name.count("/") > 1 or name.startswith((".", "/", "~")) or not name.strip():
        raise UserError(f"{name}: no such folder; give a folder with config.json, or a hub id such as 'org/name'")
    return name


def _embedded(which: str) -> Path:
    from ..embedded import student_folder, teacher_folder

    if which not in EMBEDDED:
        raise unknown("embedded model", which, EMBEDDED)
    folder = teacher_folder() if which == "teacher" else student_folder()
    check_files(folder)
    return folder


def _config(name: str, source: str, options: dict) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(source, **options)
    except Exception as error:
        raise UserError(
            f"{name}: no usable model configuration ({_first_line(error)}){_hint(source, options)}"
        ) from error


def _commit(source: str, revision: str | None) -> str | None:
    """The commit of a model of the hub whose config.json was just read, by its place in the hub's cache."""
    if Path(source).is_dir():
        return None
    found = try_to_load_from_cache(source, "config.json", revision=revision)
    return Path(found).parent.name if isinstance(found, str) else None


def _kind(name: str, config: PretrainedConfig) -> Any:
    """The class that loads such a model."""
    if config.get_text_config() is not config:
        raise UserError(f"{name}: is a multimodal model ({config.model_type}); give its text-only model")
    if getattr(config, "num_hidden_layers", 1) == 0:
        raise UserError(
            f"{name}: has no layers (num_hidden_layers is 0 in config.json); get an intact copy of the model"
        )
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    if type(config) not in kind._model_mapping and not hasattr(config, "auto_map"):
        raise UserError(
            f"{name}: {config.model_type} is not a language model that writes text; give a decoder-only model, or an "
            "encoder-decoder such as T5"
        )
    return kind


def _tokenizer(name: str, source: str, options: dict) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(source, **options)
    except Exception as error:
        raise UserError(
            f"{name}: no usable tokenizer ({_first_line(error)}); put tokenizer.json beside the weights"
        ) from error


def _module(name: str, source: str, dtype: Dtype, options: dict, kind: Any) -> PreTrainedModel:
    # mismatched sizes pass here so that check_loaded can name the tensor in one line
    strictness = {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
    try:
        loaded: Any = kind.from_pretrained(source, dtype=dtype, **strictness, **options)
    except Exception as error:
        raise UserError(f"{name}: weights cannot be loaded ({_first_line(error)}){_hint(source, options)}") from error
    module, info = loaded
    check_loaded(name, info)
    return module


def _hint(source: str, options: dict) -> str:
    if Path(source).is_dir():
        return ""
    why = "HF_HUB_OFFLINE is set; unset it or give a folder" if options["local_files_only"] else "no such folder either"
    return f"; {why}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
