"""A model in memory as lm-eval sees it: the tokens of training, answers in batches, the caller's objects unchanged."""

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import StoppingCriteriaList

from semalign.data import Row, Template, encode, end_token, padding_token, prompt_text, prompt_tokens
from semalign.evaluation.sharing import Tokens, by_length, carriers
from semalign.evaluation.stopping import Continuation, StopTexts
from semalign.models import LanguageModel

# Logits held at once in float32: 2^25 are 128 MB, and as much again for their exponentials.
LOGITS = 2**25
# Greedy and nothing else: Qwen's generation_config carries a repetition penalty that would apply to greedy search too.
GREEDY: dict[str, Any] = {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0, "use_cache": True}

Pair = tuple[tuple[str, str], list[int], list[int]]
"""A request of lm-eval: context and continuation as text, then as tokens."""


# lm-eval's registration decorator hides the class from type checkers.
_HFLM: Any = HFLM


class HarnessModel(_HFLM):
    """lm-eval's HFLM with the library's tokens, and logits at answer positions only, shared where answers are."""

    def __init__(self, model: LanguageModel, *, template: Template, batch_size: int) -> None:
        super().__init__(
            pretrained=model.module,
            tokenizer=copy.deepcopy(model.tokenizer),  # HFLM sets a padding token where there is none
            backend="causal",
            batch_size=batch_size,
        )
        self.template: Template = template
        self.begin([], None, 0)
        self._continuation = Continuation(self.tokenizer)
        self._ends = _end_tokens(model, template)
        self._pad = padding_token(model.tokenizer)
        base = model.module.get_base_model() if hasattr(model.module, "get_base_model") else model.module  # pyright: ignore
        self._keeps = "logits_to_keep" in inspect.signature(base.forward).parameters

    def begin(self, rows: Iterable[Row], progress: Callable[[int, int], None] | None, total: int) -> None:
        """Prepare for requests on these rows: text alone does not say which special tokens lead it.

        `progress` is called with the requests answered so far and `total`.
        """
        self.truncated = self._answered = 0
        self._report, self._total = progress, total
        texts = {prompt_text(row, self.tokenizer, self.template): row for row in rows}
        self._rows = texts
        self._prompts = {text: prompt_tokens(row, self.tokenizer, self.template) for text, row in texts.items()}

    def _answer(self, count: int) -> None:
        self._answered += count
        if self._report is not None:
            self._report(self._answered, self._total)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
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
    ) -> list[tuple[float, bool]]:
        inputs = [tuple((context + answer)[:-1][-self.max_length :]) for _, context, answer in requests]
        self.truncated += sum(len(c) + len(a) > self.max_length + 1 for _, c, a in requests)
        sequences, home = carriers(inputs)
        starts = [len(sequence) for sequence in sequences]
        guests: list[list[int]] = [[] for _ in sequences]
        for index, place in enumerate(home):
            guests[place].append(index)
            starts[place] = min(starts[place], len(inputs[index]) - len(requests[index][2]))
        results: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        scores = LOGITS // self.model.get_output_embeddings().weight.shape[0]
        for batch in by_length([len(s) for s in sequences], starts, rows=self.batch_size, scores=scores):
            first = min(starts[place] for place in batch)
            logits = self._logits([sequences[place] for place in batch], first)
            total, best = logits.logsumexp(-1), logits.argmax(-1)
            for row, place in enumerate(batch):
                for index in guests[place]:
                    answer = torch.tensor(requests[index][2], device=logits.device)
                    end = len(inputs[index]) - first
                    where = torch.arange(end - len(answer), end, device=logits.device)
                    nats = (logits[row, where, answer] - total[row, where]).sum()
                    results[index] = float(nats), bool((best[row, where] == answer).all())
                self._answer(len(guests[place]))
        return results

    @torch.no_grad()
    def _logits(self, sequences: Sequence[Tokens], first: int) -> Float[Tensor, "b kept n_row"]:
        """Float32 logits from position `first` on; padding on the right is after every token that is read."""
        ids = pad_sequence([torch.tensor(s) for s in sequences], batch_first=True, padding_value=self._pad).to(
            self.device
        )
        if self._keeps:
            kept = torch.arange(first, ids.shape[1], device=self.device)
            return self.model(ids, use_cache=False, logits_to_keep=kept).logits.float()
        return self.model(ids, use_cache=False).logits[:, first:].float()

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """The text after each context, up to its stop texts, without them."""
        return super().generate_until(requests, disable_tqdm=disable_tqdm)

    def tok_encode(self, string: str, *arguments: Any, **options: Any) -> list[int]:
        return self._prompts[string]

    def tok_batch_encode(
        self,
        strings: Sequence[str],
        padding_side: str = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> tuple[Int[Tensor, "b pos"], Int[Tensor, "b pos"]]:
        prompts = [self.tok_encode(string) for string in strings]
        room = left_truncate_len or self.max_length
        self.truncated += sum(len(prompt) > room for prompt in prompts)
        rows = [torch.tensor(prompt[-room:]) for prompt in prompts]
        ids = pad_sequence(rows, batch_first=True, padding_value=self._pad, padding_side="left")
        ones = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side="left")
        return ids, ones

    def tok_decode(self, tokens: int | list[int], skip_special_tokens: bool = True) -> str:
        """The text of tokens as it follows other text: alone, some tokenizers drop its first space."""
        if isinstance(tokens, int):
            return str(self.tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens))
        end = next((i for i, token in enumerate(tokens) if token in self._ends), len(tokens))
        return self._continuation([tokens[:end]])[0]

    def _model_generate(
        self, context: Int[Tensor, "b pos"], max_length: int, stop: list[str], **options: Any
    ) -> Int[Tensor, "b longer"]:
        stops = [text for text in stop if text and text != self.tokenizer.eos_token]
        criteria = StoppingCriteriaList([StopTexts(self._continuation, stops, context.shape[1])] if stops else [])
        settings = {name: value for name, value in options.items() if name not in ("do_sample", "temperature")}
        tokens = self.model.generate(
            input_ids=context,
            max_length=max_length,
            stopping_criteria=criteria,
            eos_token_id=sorted(self._ends),
            pad_token_id=self._pad,
            **GREEDY,
            **settings,
        )
        self._answer(len(context))
        return tokens


def _end_tokens(model: LanguageModel, template: Template) -> set[int]:
    """Every token that ends an answer: the one trained, and those that the model's own configuration names."""
    configured = getattr(model.module.generation_config, "eos_token_id", None)
    named = configured if isinstance(configured, list) else [configured]
    return {end_token(model.tokenizer, template), *(token for token in named if token is not None)}


@contextlib.contextmanager
def in_evaluation(model: LanguageModel) -> Iterator[None]:
    """The module in evaluation mode, and each of its parts back in its own mode afterwards."""
    modes = {part: part.training for part in model.module.modules()}
    try:
        model.module.eval()
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
