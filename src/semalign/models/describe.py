"""What can be known of a model without loading its weights: configuration, tokenizer, some rows of its embedding."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import cosine_similarity
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from ..errors import UserError
from .checks import _shards
from .load import _config, _source, _tokenizer
from .quiet import quiet

ROWS = 64
SAME = 0.99  # a copied embedding is equal; one that was trained on a little after it was copied stays this near


@dataclass(frozen=True, kw_only=True, eq=False)
class Described:
    """A model's configuration and tokenizer."""

    name: str
    source: str
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase

    @property
    def n_layer(self) -> int:
        return self._number("num_hidden_layers")

    @property
    def width(self) -> int:
        return self._number("hidden_size")

    @property
    def n_row(self) -> int:
        """Rows of the embedding."""
        return self._number("vocab_size")

    @property
    def longest(self) -> int | None:
        """Tokens that the model can read; None where its configuration does not say."""
        return getattr(self.config, "max_position_embeddings", None)

    @property
    def narrowest(self) -> int:
        """The smaller side of the narrowest matrix of a block: no adapter can have a larger rank."""
        heads = self._number("num_attention_heads")
        head = getattr(self.config, "head_dim", None) or self.width // heads
        return min(self.width, head * (getattr(self.config, "num_key_value_heads", None) or heads))

    def embedding(self) -> Float[Tensor, "rows width"] | None:
        """The first rows of the embedding; None where the weights are not in a folder here."""
        folder = Path(self.source)
        if not folder.is_dir():
            return None
        for shard in _shards(folder):
            with safe_open(shard, framework="pt") as opened:
                for key in opened.keys():  # noqa: SIM118  (not a mapping)
                    part: Any = opened.get_slice(key)
                    if ("emb" in key or "wte" in key) and part.get_shape() == [self.n_row, self.width]:
                        return part[:ROWS].float()
        return None

    def _number(self, name: str) -> int:
        found = getattr(self.config, name, None)
        if found is None:
            raise UserError(f"{self.name}: its config.json does not say {name}; write the configuration by hand")
        return found


def describe(name: str) -> Described:
    """The model's configuration and tokenizer, from a folder, the hub, or the embedded pair; no weights are loaded."""
    source = _source(name)
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    options = {"revision": None, "trust_remote_code": False, "local_files_only": offline}
    with quiet():
        return Described(
            name=name,
            source=source,
            config=_config(name, source, options),
            tokenizer=_tokenizer(name, source, options),
        )


def cut_out_of(student: Described, teacher: Described) -> bool:
    """Whether the student looks cut out of the teacher: fewer layers of one width, and the same embedding.

    False also where the weights are not here to look at.
    """
    if student.width != teacher.width or student.n_layer >= teacher.n_layer or student.n_row != teacher.n_row:
        return False
    ours, theirs = student.embedding(), teacher.embedding()
    if ours is None or theirs is None:
        return False
    return bool(torch.all(cosine_similarity(ours, theirs, dim=-1) > SAME))
