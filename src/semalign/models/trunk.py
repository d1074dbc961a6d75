"""Everything of a model below its head: what is run to hear states, whether an encoder reads the prompt or not."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from .language_model import LanguageModel

Encoded = tuple[Int[Tensor, "b e_pos"], Int[Tensor, "b e_pos"]]
"""What an encoder reads: token ids, and a mask that is 0 at padding."""


def run_trunk(
    model: LanguageModel,
    input_ids: Int[Tensor, "b pos"] | None,
    attention_mask: Int[Tensor, "b pos"],
    *,
    encoder: Encoded | None = None,
    embeddings: Float[Tensor, "b pos width"] | None = None,
) -> Float[Tensor, "b pos width"]:
    """The state that the head reads, at every position; `embeddings` stand in for `input_ids`.

    Of an encoder-decoder, ids, mask, embeddings and the state are the decoder's, and `encoder` is what it is asked.
    """
    given: dict[str, Any] = {"attention_mask": attention_mask, "use_cache": False}
    given |= {"input_ids": input_ids} if embeddings is None else {"inputs_embeds": embeddings}
    if encoder is None:
        assert not model.is_encoder_decoder, "rows for an encoder-decoder come with what its encoder reads"
        return model.trunk(**given).last_hidden_state
    assert model.is_encoder_decoder, "rows with an encoder's part are read by an encoder-decoder"
    prompt, mask = encoder
    read = model.module.get_encoder()(input_ids=prompt, attention_mask=mask).last_hidden_state
    decoder = model.module.get_decoder()
    return decoder(**given, encoder_hidden_states=read, encoder_attention_mask=mask).last_hidden_state


def embedded(model: LanguageModel, input_ids: Int[Tensor, "b pos"]) -> Float[Tensor, "b pos width"]:
    """What enters the first block for these tokens, but for positions: the `embeddings` of `run_trunk`."""
    module = model.module.get_decoder() if model.is_encoder_decoder else model.module
    return module.get_input_embeddings()(input_ids)
