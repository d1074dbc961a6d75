"""The encoder of an encoder-decoder as a model of its own, whose layers are paired and adapted like any other's."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from .language_model import LanguageModel
from .listen import FINAL, Point, listen
from .partial import states_of
from .trunk import Encoded

Part = Literal["decoder", "encoder"]
"""Where layers are: of a decoder-only model, all are its decoder's."""


@dataclass(frozen=True, eq=False)
class Encoder(LanguageModel):
    """What reads the prompt. It writes nothing: semantic bases are the whole's, of its head and final norm."""

    whole: LanguageModel = field(kw_only=True)

    @property
    def is_encoder_decoder(self) -> bool:
        return False

    @property
    def has_lens(self) -> bool:
        return False

    @property
    def trunk(self) -> nn.Module:
        return self.module.get_encoder()

    @property
    def final_gain(self) -> Float[Tensor, " width"]:
        return self.whole.final_gain


def encoder_of(model: LanguageModel) -> Encoder:
    """The encoder of an encoder-decoder; module, tokenizer and head are the whole's."""
    assert model.is_encoder_decoder, "only an encoder-decoder has an encoder"
    return Encoder(model.name, model.module, model.tokenizer, model.family.of_encoder, whole=model)


def reader_of(model: LanguageModel) -> LanguageModel:
    """What reads a prompt: the encoder where there is one, else the model as it is."""
    return encoder_of(model) if model.is_encoder_decoder else model


def states_with_prompt(
    model: LanguageModel,
    points: Iterable[Point],
    input_ids: Int[Tensor, "b pos"],
    attention_mask: Int[Tensor, "b pos"],
    *,
    encoder: Encoded,
    final: bool,
) -> dict[Point, Tensor]:
    """The states of an encoder's layers at `points`, at the prompt's positions, in the graph.

    With `final` also the state that the head reads, FINAL, at the decoder's positions, from the same pass; without, the
    decoder does not run.
    """
    part = encoder_of(model)
    if not final:
        return states_of(part, points, *encoder)
    with listen(part, points) as heard:
        whole = states_of(model, [FINAL], input_ids, attention_mask, encoder=encoder)
    return heard | whole
