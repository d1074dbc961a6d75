"""Training of one model of the pair: next-token prediction on the corpus, on one thread."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from corpus import documents, make_splits
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

BATCH_TOKENS = 3072
POOL = 2048
"""Documents that are sorted by length together, so that a batch holds next to no padding."""
PROMPT_WEIGHT = 0.15
"""Loss weight of a prompt's tokens: most are drawn at random and teach nothing."""
WARM_UP_STEPS, COOL_DOWN = 30, 0.4
"""Steps of rising learning rate, and the share of all steps over which it falls to zero; level in between."""


@dataclass(frozen=True)
class Stage:
    """A run over one corpus, with its own optimizer and schedule, from the weights of the stage before."""

    corpus: str
    steps: int
    seed: int


@dataclass(frozen=True)
class Plan:
    """A model's shape and its training budget."""

    name: str
    layers: int
    width: int
    inner: int
    heads: int
    stages: tuple[Stage, ...]
    learning_rate: float = 3e-3
    muon_rate: float = 0.02

    def config(self, vocabulary: int) -> LlamaConfig:
        return LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=self.width,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.heads,
            max_position_embeddings=512,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=1,
        )


PLANS = {
    "teacher": Plan("teacher", 8, 144, 320, 4, (Stage("broad", 800, seed=1), Stage("narrow", 250, seed=3))),
    "student": Plan("student", 5, 96, 256, 3, (Stage("broad", 420, seed=2), Stage("narrow", 80, seed=4))),
}

Batch = tuple[Tensor, Tensor]
"""Token ids and loss weights of the same shape; weight 0 is padding."""


def train(plan: Plan, folder: Path) -> None:
    """Trains the model stage by stage and saves it to `folder`, where the tokenizer already lies."""
    torch.set_num_threads(1)
    torch.manual_seed(plan.stages[0].seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # On rows this short, the plain attention is 1.7 times as fast as the fused kernel.
    model = LlamaForCausalLM._from_config(plan.config(len(tokenizer)), attn_implementation="eager")
    for stage in plan.stages:
        train_stage(model, tokenizer, plan, stage)
    save(model, folder)


def train_stage(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, plan: Plan, stage: Stage, log_every: int = 20
) -> None:
    optimizers = _optimizers(model, plan)
    schedules = [LambdaLR(optimizer, partial(rate, n_steps=stage.steps)) for optimizer in optimizers]
    started, n_tokens, running = time.time(), 0, 0.0
    stream = batches(tokenizer, stage)
    for step, (ids, weights) in enumerate(islice(stream, stage.steps), start=1):
        loss = _loss(model, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for part in (*optimizers, *schedules):
            part.step()
        model.zero_grad()
        n_tokens += int((weights > 0).sum())
        running = loss.item() if step == 1 else 0.95 * running + 0.05 * loss.item()
        if step % log_every == 0 or step == stage.steps:
            line = {"model": plan.name, "corpus": stage.corpus, "step": step, "loss": round(running, 4)}
            print(json.dumps(line | {"tokens": n_tokens, "seconds": round(time.time() - started)}), flush=True)


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """A plain Hugging Face folder in bfloat16."""
    model.generation_config = GenerationConfig(eos_token_id=0, pad_token_id=1, do_sample=False)
    model.to(torch.bfloat16).save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)


def batches(tokenizer: PreTrainedTokenizerBase, stage: Stage) -> Iterator[Batch]:
    """Endless batches of documents of about one length, in random order within a pool."""
    rng = random.Random(stage.seed)
    stream = documents(make_splits(), stage.seed, stage.corpus)
    while True:
        pool = sorted(encode(tokenizer, list(islice(stream, POOL))), key=lambda pair: len(pair[0]))
        groups = list(_groups_of_tokens(pool))
        rng.shuffle(groups)
        yield from (_collate(group) for group in groups)


Encoded = tuple[list[int], int]
"""Token ids of a document with its end, and how many of them are prompt."""


def encode(tokenizer: PreTrainedTokenizerBase, pairs: list[tuple[str, str]]) -> list[Encoded]:
    prompts = tokenizer([prompt for prompt, _ in pairs], add_special_tokens=False)["input_ids"]
    answers = tokenizer([answer for _, answer in pairs], add_special_tokens=False)["input_ids"]
    return [(p + a + [tokenizer.eos_token_id], len(p)) for p, a in zip(prompts, answers, strict=True)]


def _groups_of_tokens(pool: list[Encoded]) -> Iterator[list[Encoded]]:
    group: list[Encoded] = []
    for document in pool:
        if group and (len(group) + 1) * len(document[0]) > BATCH_TOKENS:
            yield group
            group = []
        group.append(document)
    yield group


def _collate(group: list[Encoded]) -> Batch:
    longest = max(len(ids) for ids, _ in group)
    ids = torch.ones(len(group), longest, dtype=torch.long)
    weights = torch.zeros(len(group), longest)
    for row, (tokens, n_prompt) in enumerate(group):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        weights[row, :n_prompt] = PROMPT_WEIGHT
        weights[row, n_prompt : len(tokens)] = 1.0
    return ids, weights


def _loss(model: LlamaForCausalLM, ids: Tensor, weights: Tensor) -> Tensor:
    # No attention mask: padding is on the right, where a causal model cannot see it.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(ids[:, :-1], use_cache=False).logits
    each = functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
    weight = weights[:, 1:].flatten()
    return (each * weight).sum() / weight.sum()


def rate(step: int, n_steps: int) -> float:
    """Share of the full learning rate at a step."""
    return min(1.0, (step + 1) / WARM_UP_STEPS, (n_steps - step) / (COOL_DOWN * n_steps))


def _optimizers(model: LlamaForCausalLM, plan: Plan) -> list[Optimizer]:
    """Muon for the matrices inside the blocks, which learn in about half as many tokens by it; AdamW for the rest."""
    inside = [p for p in model.model.layers.parameters() if p.ndim == 2]
    tables = [model.model.embed_tokens.weight, model.lm_head.weight]
    gains = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": tables, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    return [
        torch.optim.Muon(inside, lr=plan.muon_rate, weight_decay=0.1),
        torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.95)),
    ]


def scaled(plan: Plan, share: float) -> Plan:
    """The same plan with a share of its steps, for a quick look."""
    return replace(plan, stages=tuple(replace(s, steps=max(1, round(s.steps * share))) for s in plan.stages))
