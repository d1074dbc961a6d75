"""A language model with its tokenizer and the places its family keeps things.

Indices count from 0; layer i is block i, its output is the state after it; the embedding is not a layer. Of an
encoder-decoder the blocks are the decoder's: it writes the answer, the encoder reads the prompt.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .family import Family

CONTEXT = ("n_positions", "max_position_embeddings", "n_ctx")  # what a configuration calls it, in lm-eval's order


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model, its tokenizer and its family; everything else is read from the modules when asked for."""

    name: str
    module: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: Family
    commit: str | None = None
    """Of the hub, that the files are of; None for a folder."""

    @property
    def blocks(self) -> list[nn.Module]:
        return list(self.module.get_submodule(self.family.blocks).children())

    @property
    def norm(self) -> nn.Module:
        """The final norm: block state in, state the head reads out; the identity where there is none (BART)."""
        return nn.Identity() if self.family.norm is None else self.module.get_submodule(self.family.norm)

    @property
    def trunk(self) -> nn.Module:
        """Everything below the head."""
        return self.module.base_model

    @property
    def head(self) -> nn.Module:
        return self.module.get_output_embeddings()  # pyright: ignore[reportReturnType]  a causal model has a head

    @property
    def is_encoder_decoder(self) -> bool:
        return bool(self.module.config.is_encoder_decoder)

    @property
    def has_lens(self) -> bool:
        """Whether a layer's state may be read as if it were the last one: not that of an encoder."""
        return True

    @property
    def is_quantized(self) -> bool:
        """Whether the weights of the blocks are packed, several bits each."""
        return bool(getattr(self.module, "is_quantized", False))

    @property
    def decoder_start(self) -> int | None:
        """The token that the decoder of an encoder-decoder begins with; None for a decoder-only model."""
        return decoder_start(self.module) if self.is_encoder_decoder else None

    @property
    def n_layer(self) -> int:
        return len(self.blocks)

    @property
    def width(self) -> int:
        return self.module.config.hidden_size

    @property
    def n_token(self) -> int:
        """Rows of the head that are real tokens; rows beyond the tokenizer's size are padding."""
        return min(len(self.tokenizer), self.head_weight.shape[0])

    @property
    def configured_ends(self) -> set[int]:
        """Tokens that the model's own generation configuration says end an answer."""
        named = getattr(self.module.generation_config, "eos_token_id", None)
        return {token for token in (named if isinstance(named, list) else [named]) if token is not None}

    @property
    def device(self) -> torch.device:
        return self.head_weight.device

    @property
    def head_weight(self) -> Float[Tensor, "n_row width"]:
        return self.head.weight  # pyright: ignore[reportReturnType]

    @property
    def embedding_weight(self) -> Float[Tensor, "n_row width"]:
        return self.module.get_input_embeddings().weight  # pyright: ignore[reportReturnType]

    @property
    def final_gain(self) -> Float[Tensor, " width"]:
        """What the final norm multiplies the normalised state by, channel by channel (1 + weight in Gemma)."""
        weight = getattr(self.norm, "weight", None)
        if weight is None:  # OLMo 1 norms without a gain
            return torch.ones(self.width, device=self.device)
        return 1 + weight if self.family.norm_gain == "one_plus_weight" else weight

    @property
    def head_scale(self) -> float:
        """What the head's output is multiplied by (1 but in Granite, Cohere and some T5)."""
        scale = (self._setting(self.family.logits_multiplier) or 1.0) / (
            self._setting(self.family.logits_divisor) or 1.0
        )
        return scale * self.width**-0.5 if self._setting(self.family.width_scaled) else scale

    @property
    def residual_scale(self) -> float:
        """What a sub-layer's output is multiplied by before it is added to the stream (1 but in Granite)."""
        return self._setting(self.family.residual_scale) or 1.0

    def logits(self, h_final: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch n_row"]:
        """Read a normed final state through the head with its bias, scaling and soft cap, as the model does."""
        z = self.head(h_final)
        if (bias := getattr(self.module, "final_logits_bias", None)) is not None:  # BART keeps it apart from the head
            z = z + bias[0]
        return self.scaled(z)

    def scaled(self, z: Float[Tensor, "*batch n_row"]) -> Float[Tensor, "*batch n_row"]:
        """What the model makes of the head's output: its scaling and soft cap."""
        if divisor := self._setting(self.family.logits_divisor):
            z = z / divisor
        if multiplier := self._setting(self.family.logits_multiplier):
            z = z * multiplier
        if self._setting(self.family.width_scaled):
            z = z * self.width**-0.5
        if cap := self._setting(self.family.softcap):
            z = torch.tanh(z / cap) * cap
        return z

    def read(self, h: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch n_row"]:
        """Logits of a block's state read as if it were the last one (logit lens): final norm, then head."""
        return self.logits(self.norm(h))

    def _setting(self, name: str | None) -> float | None:
        return getattr(self.module.config, name, None) if name else None


def decoder_start(module: PreTrainedModel) -> int | None:
    """The token that a decoder begins with, from the model's configuration or that of its generation."""
    for config in (module.config, module.generation_config):
        for name in ("decoder_start_token_id", "bos_token_id"):
            token = getattr(config, name, None)
            if isinstance(token, int):
                return token
    return None


def context_length(model: LanguageModel) -> int | None:
    """Positions that a model was made for; None where its configuration does not say."""
    config = model.module.config
    return next((getattr(config, name) for name in CONTEXT if getattr(config, name, None)), None)
