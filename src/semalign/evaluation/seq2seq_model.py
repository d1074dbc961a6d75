"""An encoder-decoder in memory as lm-eval sees it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lm_eval.api.instance import Instance

from semalign.data import Row, Template, encode
from semalign.data.templates import decoder_tokens, encoder_tokens
from semalign.errors import UserError
from semalign.evaluation.likelihood import Answered
from semalign.evaluation.model import HarnessModel, Pair
from semalign.evaluation.seq2seq import Seq2SeqLikelihood, generate_seq2seq
from semalign.evaluation.texts import Opening, Prompt, Written
from semalign.models import Drawn, LanguageModel


class Seq2SeqHarnessModel(HarnessModel):
    """As HarnessModel, but a request's context is what the encoder reads, and the answer is the decoder's alone."""

    kind = "seq2seq"

    def __init__(self, model: LanguageModel, *, template: Template, batch_size: int) -> None:
        assert model.decoder_start is not None
        self._start = model.decoder_start
        super().__init__(model, template=template, batch_size=batch_size)
        self._begin = decoder_tokens(self.tokenizer, template, self._start)
        self._opening = Opening(self.tokenizer)
        self._answers = Seq2SeqLikelihood(model.module, rows=batch_size, pad=self._pad, begin=self._begin)

    def _prompt(self, row: Row) -> Prompt:
        return Prompt(encoder_tokens(row, self.tokenizer, self.template), "")

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[Answered]:
        """Nats of each continuation as the decoder's whole answer to its context, and whether it would be written."""
        texts: list[Any] = [request.args for request in requests]
        rows = [replace(self._rows[context], answer=continuation) for context, continuation in texts]
        how: dict[str, Any] = {"template": self.template, "max_length": 10**9, "decoder_start": self._start}
        pairs = [
            (text, list(example.encoder or ()), example.input_ids[example.n_prompt : -1])
            for text, example in zip(texts, encode(rows, self.tokenizer, **how), strict=True)
        ]
        return self._loglikelihood_tokens(pairs)

    def _read_pairs(self, requests: Sequence[Pair]) -> Iterator[tuple[int, Answered]]:
        longest = max((len(self._begin) + len(answer) for _, _, answer in requests), default=0)
        if longest > self.max_length:
            raise UserError(f"an answer of {longest} tokens does not fit the decoder's {self.max_length} positions")
        self.truncated += sum(len(context) > self.max_length for _, context, _ in requests)
        prompts = [tuple(context[-self.max_length :]) for _, context, _ in requests]
        for batch in self._answers(prompts, [answer for _, _, answer in requests]):
            yield from batch
            self._answer(len(batch))

    def _generate(self, prompts: Sequence[Prompt], settings: dict[str, Any], drawn: Drawn | None) -> list[Written]:
        self.truncated += sum(len(prompt.tokens) > self.max_length for prompt in prompts)
        return generate_seq2seq(
            self.model,
            [prompt.tokens[-self.max_length :] for prompt in prompts],
            self._opening,
            begin=self._begin,
            max_new_tokens=settings["max_gen_toks"],
            stops=[stop for stop in settings["until"] if stop],
            ends=sorted(self._ends),
            pad=self._pad,
            drawn=drawn,
        )
