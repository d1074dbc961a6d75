"""The key-value cache of tokens that many sequences start with: computed once, read on from by every batch."""

import copy
from typing import Any

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer


def can_share(config: PreTrainedConfig) -> bool:
    """Whether all that the model keeps of what it has read are keys and values; a recurrent state would be more."""
    kinds = {type(layer) for layer in DynamicCache(config=config).layers}
    return bool(kinds) and kinds <= {DynamicLayer, DynamicSlidingWindowLayer}


def shared(cache: DynamicCache) -> DynamicCache:
    """The cache of one row, read on from by any number of rows, and by the next batch again."""
    lasting = copy.copy(cache)
    lasting.layers = [_lasting(layer) for layer in cache.layers]
    return lasting


def _lasting(layer: Any) -> Any:
    """The layer, but its update only returns what it would hold: nothing is kept of a batch."""

    def update(
        keys: Float[Tensor, "b n_head pos d"], values: Float[Tensor, "b n_head pos d"], *rest: Any, **options: Any
    ) -> tuple[Tensor, Tensor]:
        opened = copy.copy(layer)
        opened.keys, opened.values = (kept.expand(len(keys), -1, -1, -1) for kept in (layer.keys, layer.values))
        return opened.update(keys, values, *rest, **options)

    lasting = copy.copy(layer)
    lasting.update = update
    return lasting
