"""A model in memory as lm-eval sees it: the tokens of training, answers in batches, the caller's objects unchanged."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs

from semalign import ranks
from semalign.data import Row, Template, encode, end_token, padding_token, prompt_text, prompt_tokens
from semalign.data.templates import row_text
from semalign.evaluation.generation import generate
from semalign.evaluation.likelihood import Answered, Likelihood
from semalign.evaluation.memory import Memory
from semalign.evaluation.texts import Continuation, Prompt, Written
from semalign.models import Drawn, LanguageModel, stream_seed
from semalign.models.sharding import in_company

Pair = tuple[tuple[str, str], list[int], list[int]]
"""A request of lm-eval: context and continuation as text, then as tokens."""


# lm-eval's registration decorator hides the class from type checkers.
_HFLM: Any = HFLM


class HarnessModel(_HFLM):
    """lm-eval's HFLM with the library's tokens, and logits at answer positions only, shared where answers are."""

    kind = "causal"

    def __init__(self, model: LanguageModel, *, template: Template, batch_size: int) -> None:
        super().__init__(
            pretrained=model.module,
            tokenizer=copy.deepcopy(model.tokenizer),  # HFLM sets a padding token where there is none
            backend=self.kind,
            batch_size=batch_size,
        )
        self.template: Template = template
        self._continuation = Continuation(self.tokenizer)
        self.memory = Memory()
        self._language_model = model
        self.begin([], None, 0)
        self._ends = _end_tokens(model, template)
        self._pad = padding_token(model.tokenizer)
        self._likelihood = Likelihood(model.module, rows=batch_size, pad=self._pad)

    def begin(self, rows: Iterable[Row], progress: Callable[[int, int], None] | None, total: int) -> None:
        """Prepare for requests on these rows: text alone does not say which special tokens lead it.

        `progress` is called with the requests answered so far and `total`.
        """
        self.truncated = self._answered = 0
        self._report, self._total = progress, total
        self._rows = {prompt_text(row, self.tokenizer, self.template): row for row in rows}
        self._prompts = {text: self._prompt(row) for text, row in self._rows.items()}

    def ignore_ends(self) -> None:
        """From now on no token ends a generated text."""
        self._ends = set()

    def _prompt(self, row: Row) -> Prompt:
        own = row_text(row, self.template)  # what a chat template writes is never joined with an answer
        return self._continuation.open(own, prompt_tokens(row, self.tokenizer, self.template))

    def _prompt_of(self, text: str) -> Prompt:
        return self._prompts[text]

    def _answer(self, count: int) -> None:
        self._answered += count
        if self._report is not None:
            self._report(self._answered, self._total)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[Answered]:
        """Nats of each continuation after its context, and whether greedy search would have written it."""
        texts: list[Any] = [request.args for request in requests]
        rows = [replace(self._rows[context], answer=continuation) for context, continuation in texts]
        examples = encode(rows, self.tokenizer, template=self.template, max_length=10**9)
        # The end token is trained but not part of the answer's text.
        pairs = [
            (text, example.input_ids[: example.n_prompt], example.input_ids[example.n_prompt : -1])
            for text, example in zip(texts, examples, strict=True)
        ]
        return self._loglikelihood_tokens(pairs)

    def _loglikelihood_tokens(
        self, requests: Sequence[Pair], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[Answered]:
        keys = self.memory.keys("loglikelihood", [text for text, _, _ in requests])
        results = ranks.from_first([self.memory.recall(key) for key in keys])
        left = [index for index, result in enumerate(results) if result is None]
        self._answer(len(requests) - len(left))
        for index, result in self._divided(lambda own: self._read_pairs([requests[i] for i in own]), left):
            results[index] = result
            self.memory.keep(keys[index], result)
        return [(nats, greedy) for nats, greedy in results]

    def _divided(
        self, answer: Callable[[list[int]], Iterator[tuple[int, Any]]], left: list[int]
    ) -> Iterator[tuple[int, Any]]:
        """The index of each request that is left and its answer: those of this process's share as they get done, then
        those of the others. `answer` gives the place of an index among those that it gets."""
        own, before = ranks.share(left), self.truncated
        answers = {}
        with in_company(self._language_model):
            for place, result in answer(own):
                answers[own[place]] = result
                yield own[place], result
        found = ranks.gathered((answers, self.truncated - before))
        self.truncated = before + sum(truncated for _, truncated in found)
        for others, _ in found:
            yield from ((index, result) for index, result in others.items() if index not in answers)
        self._answer(len(left) - len(own))

    def _read_pairs(self, requests: Sequence[Pair]) -> Iterator[tuple[int, Answered]]:
        """The index of a request and its nats, as batches get done."""
        inputs = [tuple((context + answer)[:-1][-self.max_length :]) for _, context, answer in requests]
        self.truncated += sum(len(c) + len(a) > self.max_length + 1 for _, c, a in requests)
        for batch in self._likelihood(inputs, [answer for _, _, answer in requests]):
            yield from batch
            self._answer(len(batch))

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """The text after each context, up to its stop texts, without them."""
        return [written.text for written in self.written(requests)]

    def written(self, requests: Sequence[Instance]) -> list[Written]:
        """The same, with whether each text ended before its room did."""
        asked = [_Asked(request.args[0], _settings(request)) for request in requests]  # pyright: ignore
        keys = self.memory.keys("written", asked)
        texts = ranks.from_first([self.memory.recall(key) for key in keys])
        left = [index for index, text in enumerate(texts) if text is None]
        self._answer(len(requests) - len(left))
        for index, text in self._divided(lambda own: self._write_texts(asked, keys, own), left):
            texts[index] = text
            self.memory.keep(keys[index], text)
        return [Written(*text) for text in texts]

    def _write_texts(
        self, asked: "Sequence[_Asked]", keys: Sequence[str], indices: list[int]
    ) -> Iterator[tuple[int, Written]]:
        """The place of an index and its request's text, as batches get done."""
        place = {index: i for i, index in enumerate(indices)}
        for batch in self._alike(asked, indices):
            written = self._write([asked[index] for index in batch], [keys[index] for index in batch])
            yield from ((place[index], text) for index, text in zip(batch, written, strict=True))
            self._answer(len(batch))

    def _write(self, asked: "Sequence[_Asked]", keys: Sequence[str]) -> list[Written]:
        """One batch of texts; all have the same settings."""
        settings = asked[0].settings
        drawn = None
        if settings["do_sample"]:
            drawn = Drawn(settings["temperature"], [stream_seed(settings.get("seed", 0), key) for key in keys])
        return self._generate([self._prompt_of(request.context) for request in asked], settings, drawn)

    def _generate(self, prompts: Sequence[Prompt], settings: dict[str, Any], drawn: Drawn | None) -> list[Written]:
        room = self.max_length - settings["max_gen_toks"]
        self.truncated += sum(len(prompt.tokens) > room for prompt in prompts)
        return generate(
            self.model,
            [prompt._replace(tokens=prompt.tokens[-room:]) for prompt in prompts],
            self._continuation,
            max_new_tokens=settings["max_gen_toks"],
            stops=[stop for stop in settings["until"] if stop],
            ends=sorted(self._ends),
            pad=self._pad,
            drawn=drawn,
        )

    def _alike(self, asked: "Sequence[_Asked]", left: Sequence[int]) -> Iterator[list[int]]:
        """Batches of requests with the same settings, longest prompts first, so that little is padding."""

        def settings(index: int) -> str:
            return repr(asked[index].settings)

        def length(index: int) -> int:
            return len(self._prompt_of(asked[index].context).tokens)

        order = sorted(left, key=lambda index: (settings(index), -length(index)))
        for _, group in groupby(order, key=settings):
            indices = list(group)
            yield from (indices[i : i + self.batch_size] for i in range(0, len(indices), self.batch_size))


class UpstreamModel(HarnessModel):
    """The same speed for lm-eval's own tasks: texts and tokens are as lm-eval's HFLM makes them."""

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[Answered]:
        return _HFLM.loglikelihood(self, requests, disable_tqdm)

    def _prompt_of(self, text: str) -> Prompt:
        if text not in self._prompts:
            self._prompts[text] = Prompt(self.tok_encode(text), "")
        return self._prompts[text]


class _Asked(NamedTuple):
    """What a text is generated from, and how."""

    context: str
    settings: dict[str, Any]


def _settings(request: Instance) -> dict[str, Any]:
    """lm-eval's settings of a request with its own defaults filled in."""
    arguments: Any = request.args
    return dict(normalize_gen_kwargs(arguments[1]))


def _end_tokens(model: LanguageModel, template: Template) -> set[int]:
    """Every token that ends an answer: the one trained, and those that the model's own configuration names."""
    return {end_token(model.tokenizer, template), *model.configured_ends}
