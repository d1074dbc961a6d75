"""Log-likelihoods of answers: logits at answer positions only, what several sequences begin with read once for all."""

import inspect
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from semalign.evaluation.prefix import can_share, shared
from semalign.evaluation.sharing import Group, Tokens, by_length, carriers, prefix_groups

# Logits held at once in float32: 2^25 are 128 MB, and as much again for their exponentials.
LOGITS = 2**25
# What reading a group apart costs, in tokens: a pass over its beginning and another that is not full. A pass over few
# tokens takes as long as 40 more on one CPU thread, hundreds on a GPU.
APART = 512

Answered = tuple[float, bool]
"""Nats of an answer after its context, and whether greedy search would have written it."""


class Likelihood:
    """How likely a model finds answers; `share` False reads every sequence from its start."""

    def __init__(self, module: PreTrainedModel, *, rows: int, pad: int, share: bool = True) -> None:
        self.module, self.rows, self.pad = module, rows, pad
        base = module.get_base_model() if hasattr(module, "get_base_model") else module  # pyright: ignore
        accepted = inspect.signature(base.forward).parameters
        self._keeps = "logits_to_keep" in accepted
        # transformers 5.24 calls it `cache`, earlier ones know the other name alone
        self._cache = next((name for name in ("cache", "past_key_values") if name in accepted), "")
        self._shares = share and bool(self._cache) and can_share(base.config)
        self._scores = LOGITS // module.get_output_embeddings().weight.shape[0]  # pyright: ignore

    def __call__(
        self, inputs: Sequence[Tokens], answers: Sequence[Sequence[int]]
    ) -> Iterator[list[tuple[int, Answered]]]:
        """By batches, the index of an input and its answer's nats; an input ends before the answer's last token."""
        sequences, home = carriers(inputs)
        guests: list[list[int]] = [[] for _ in sequences]
        for index, place in enumerate(home):
            guests[place].append(index)
        starts = [min(len(inputs[i]) - len(answers[i]) for i in indices) for indices in guests]
        alone = [Group(0, range(len(sequences)))]
        for n_prefix, members in prefix_groups(sequences, starts, cost=APART) if self._shares else alone:
            cache = self._read(sequences[members[0]][:n_prefix]) if n_prefix else None
            sizes = [len(sequences[place]) for place in members]
            for batch in by_length(sizes, [starts[p] for p in members], rows=self.rows, scores=self._scores):
                places = [members[i] for i in batch]
                first = min(starts[place] for place in places)
                logits = self._logits([sequences[place][n_prefix:] for place in places], first - n_prefix, cache)
                yield [
                    (index, answered(logits[row], answers[index], len(inputs[index]) - first))
                    for row, place in enumerate(places)
                    for index in guests[place]
                ]

    @torch.no_grad()
    def _read(self, prefix: Tokens) -> DynamicCache:
        ids = torch.tensor([prefix], device=self.module.device)
        cache = DynamicCache(config=self.module.config)
        self.module(ids, use_cache=True, **{self._cache: cache}, **({"logits_to_keep": 1} if self._keeps else {}))
        return shared(cache)

    @torch.no_grad()
    def _logits(
        self, sequences: Sequence[Tokens], first: int, cache: DynamicCache | None
    ) -> Float[Tensor, "b kept n_row"]:
        """Float32 logits from position `first` on; padding on the right is after every token that is read."""
        rows = [torch.tensor(s) for s in sequences]
        ids = pad_sequence(rows, batch_first=True, padding_value=self.pad).to(self.module.device)
        options = {"use_cache": False} if cache is None else {"use_cache": True, self._cache: cache}
        if self._keeps:
            kept = torch.arange(first, ids.shape[1], device=ids.device)
            return self.module(ids, logits_to_keep=kept, **options).logits.float()
        return self.module(ids, **options).logits[:, first:].float()


def answered(logits: Float[Tensor, "kept n_row"], answer: Sequence[int], end: int) -> Answered:
    """The answer that is predicted by the positions up to `end`."""
    wanted, own = torch.tensor(answer, device=logits.device), logits[end - len(answer) : end]
    nats = own.gather(1, wanted[:, None])[:, 0] - own.logsumexp(-1)
    return float(nats.sum()), bool((own.argmax(-1) == wanted).all())
