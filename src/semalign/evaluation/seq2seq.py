"""An encoder-decoder asked: likelihoods and texts of its decoder after prompts that its encoder reads."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LogitsProcessorList, PreTrainedModel, StoppingCriteriaList
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from semalign.evaluation.generation import Ended, StopTexts, ended_texts, until_end
from semalign.evaluation.likelihood import LOGITS, Answered, answered
from semalign.evaluation.padding import padded
from semalign.evaluation.sharing import Tokens, by_length
from semalign.evaluation.texts import Opening, Written
from semalign.models import GREEDY, Drawn

# What a model's own generation settings (BART's for summaries) would add to greedy search.
PLAIN: dict[str, Any] = {
    **GREEDY,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
    "length_penalty": 1.0,
    "early_stopping": False,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
}


class Seq2SeqLikelihood:
    """How likely an encoder-decoder finds answers; `begin` is what its decoder begins with."""

    def __init__(self, module: PreTrainedModel, *, rows: int, pad: int, begin: Sequence[int]) -> None:
        self.module, self.rows, self.pad, self.begin = module, rows, pad, tuple(begin)
        self._scores = LOGITS // module.get_output_embeddings().weight.shape[0]  # pyright: ignore

    def __call__(
        self, prompts: Sequence[Tokens], answers: Sequence[Sequence[int]]
    ) -> Iterator[list[tuple[int, Answered]]]:
        """By batches, the index of a prompt and its answer's nats; a prompt is read once for all answers in a batch."""
        inputs = [(*self.begin, *answer)[:-1] for answer in answers]
        first = len(self.begin) - 1
        starts = [first] * len(inputs)
        for batch in by_length([len(given) for given in inputs], starts, rows=self.rows, scores=self._scores):
            logits = self._logits([prompts[i] for i in batch], [inputs[i] for i in batch], first)
            yield [
                (index, answered(logits[row], answers[index], len(inputs[index]) - first))
                for row, index in enumerate(batch)
            ]

    @torch.no_grad()
    def _logits(self, prompts: Sequence[Tokens], inputs: Sequence[Tokens], first: int) -> Float[Tensor, "b kept n_row"]:
        """Float32 logits of the decoder from position `first` on; padding on the right is after all that is read."""
        distinct = list(dict.fromkeys(prompts))
        place = torch.tensor([distinct.index(prompt) for prompt in prompts], device=self.module.device)
        ids, mask = padded(distinct, self.pad, self.module.device)
        read = self.module.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        given, _ = padded(inputs, self.pad, self.module.device)
        output = self.module(
            encoder_outputs=BaseModelOutput(last_hidden_state=read[place]),
            attention_mask=mask[place],
            decoder_input_ids=given,
            use_cache=False,
        )
        return output.logits[:, first:].float()


def generate_seq2seq(
    module: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    opening: Opening,
    *,
    begin: Sequence[int],
    max_new_tokens: int,
    stops: Sequence[str],
    ends: Sequence[int],
    pad: int,
    drawn: Drawn | None = None,
) -> list[Written]:
    """The text that answers each prompt, up to its first stop text or end token; the same in any batch.

    Greedy, unless `drawn` holds a stream of random numbers for each row.
    """
    ids, mask = padded(prompts, pad, module.device)  # on the right: BART's encoder counts positions from the left
    nothing = [""] * len(prompts)
    stop_texts = StopTexts(opening, stops, nothing, len(begin)) if stops else None
    with warnings.catch_warnings():
        # transformers 5.23 renames the argument, earlier ones know no other
        warnings.filterwarnings("ignore", message="`past_key_values` is deprecated", category=FutureWarning)
        written: Any = module.generate(  # pyright: ignore[reportCallIssue]
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=torch.tensor([list(begin)] * len(prompts), device=module.device),
            # made by transformers, it has the encoder's number of layers, and the decoder may be deeper
            past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
            max_new_tokens=max_new_tokens,
            logits_processor=LogitsProcessorList([drawn] if drawn else []),
            stopping_criteria=StoppingCriteriaList([Ended(stop_texts, ends, pauses=False)]),
            eos_token_id=list(ends),
            pad_token_id=pad,
            **PLAIN,
        )
    tokens = written[:, len(begin) :].tolist()
    return ended_texts(opening([until_end(row, ends) for row in tokens]), tokens, stops=stops, ends=ends)
