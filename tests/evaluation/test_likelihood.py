"""Reading what sequences have in common once changes no log-likelihood, and takes fewer tokens."""

import pytest
import torch
from transformers import AutoConfig

from semalign.evaluation import likelihood
from semalign.evaluation.likelihood import Likelihood
from semalign.evaluation.prefix import can_share

EXAMPLES = tuple(range(5, 36))
"""A beginning of 31 tokens, as few-shot examples are."""


def questions() -> tuple[list[tuple[int, ...]], list[list[int]]]:
    """Two subjects of few-shot questions with four answers of one or more tokens, and a question of its own."""
    generator = torch.Generator().manual_seed(7)
    inputs, answers = [], []
    for beginning in (EXAMPLES, EXAMPLES[::-1], ()):
        for _ in range(4 if beginning else 1):
            size = int(torch.randint(4, 12, (), generator=generator))
            context = beginning + tuple(torch.randint(5, 280, (size,), generator=generator).tolist())
            for answer in ([40], [41], [42, 43], [44, 45, 46]):
                inputs.append((context + tuple(answer))[:-1])
                answers.append(answer)
    return inputs, answers


def read(model, *, share: bool) -> tuple[list, int]:
    """What every answer gets, and how many tokens the model read for it."""
    inputs, answers = questions()
    seen = []
    hook = model.module.get_input_embeddings().register_forward_hook(lambda _m, args, _o: seen.append(args[0].numel()))
    batches = Likelihood(model.module, rows=3, pad=0, share=share)(inputs, answers)
    found = dict(pair for batch in batches for pair in batch)
    hook.remove()
    return [found[index] for index in range(len(inputs))], sum(seen)


# Qwen2 and Gemma 2 with layers that see 8 tokens back: a beginning longer than that leaves their cache.
FAMILIES = {
    "llama": {},
    "gpt2": {},
    "qwen2": {"num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 6, "sliding_window": 8, "intermediate_size": 20},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_beginning_read_once_gives_the_same_log_likelihoods(make_model, family, monkeypatch):
    monkeypatch.setattr(likelihood, "APART", 0)
    model = make_model(family, **FAMILIES[family])
    model.module.double().eval()
    apart, n_apart = read(model, share=False)
    shared, n_shared = read(model, share=True)
    # Logits are rounded to float32.
    assert [nats for nats, _ in shared] == pytest.approx([nats for nats, _ in apart], abs=1e-4)
    assert [greedy for _, greedy in shared] == [greedy for _, greedy in apart]
    assert n_shared < 0.6 * n_apart


def test_log_likelihoods_are_those_of_one_plain_forward_each(make_model, monkeypatch):
    monkeypatch.setattr(likelihood, "APART", 0)
    model = make_model()
    for (nats, _), tokens, answer in zip(read(model, share=True)[0], *questions(), strict=True):
        with torch.no_grad():
            log_p = model.module(torch.tensor([tokens])).logits[0, -len(answer) :].log_softmax(-1)
        assert nats == pytest.approx(float(log_p[range(len(answer)), answer].sum()), abs=1e-3)


@pytest.mark.parametrize(("family", "can"), [("llama", True), ("gemma3_text", True), ("qwen3_next", False)])
def test_only_keys_and_values_are_shared(family, can):
    assert can_share(AutoConfig.for_model(family)) == can
