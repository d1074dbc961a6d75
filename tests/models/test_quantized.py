"""A teacher in 8 or 4 bits, packed by bitsandbytes on the CPU."""

import importlib.util

import pytest
import torch
from tiny_run import write_model

from semalign.errors import UserError
from semalign.models import load
from semalign.models.quantized import n_weight, packing
from semalign.models.weights import layer_weights

TEXT = "def add(a, b):\n    return a + b\n"
# divergence in nats from the same model unpacked, a token; measured 0.0004 and 0.02
NEAR = {"8bit": 0.01, "4bit": 0.2}

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed here: make test-quantized"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("model")
    write_model(made, n_layer=3, width=64)
    return str(made)


@pytest.fixture(scope="module")
def plain(folder):
    return load(folder, dtype="float32")


@pytest.fixture(scope="module", params=["8bit", "4bit"])
def packed(request, folder):
    return request.param, load(folder, dtype="float32", quantization=request.param)


def size(model) -> int:
    return sum(p.numel() * p.element_size() for block in model.blocks for p in block.parameters())


@needs_bitsandbytes
def test_a_packed_model_says_nearly_the_same(plain, packed):
    bits, model = packed
    ids = torch.tensor([plain.tokenizer.encode(TEXT)])
    with torch.no_grad():
        p, q = (m.module(ids).logits.double().log_softmax(-1) for m in (plain, model))
    divergence = (p.exp() * (p - q)).sum(-1).mean()
    assert 0 < divergence < NEAR[bits]


@needs_bitsandbytes
def test_a_packed_model_is_smaller_and_counts_the_same_weights(plain, packed):
    bits, model = packed
    assert model.is_quantized
    assert not plain.is_quantized
    assert size(model) < size(plain) * {"8bit": 0.3, "4bit": 0.2}[bits]
    assert n_weight(model) == n_weight(plain) == sum(p.numel() for p in plain.module.parameters())
    assert torch.equal(model.head_weight, plain.head_weight)


@needs_bitsandbytes
def test_packed_weights_are_not_read_one_by_one(packed):
    with pytest.raises(UserError, match="packed"):
        layer_weights(packed[1], 0)


def unpacked(folder, packed):
    """The plain model with the weights that the packed one stands for."""
    import bitsandbytes as bnb

    model = load(folder, dtype="float32")
    for name, part in packed.module.named_modules():
        if isinstance(part, bnb.nn.Linear4bit):
            weight = bnb.functional.dequantize_4bit(part.weight.data, part.weight.quant_state)
        elif isinstance(part, bnb.nn.Linear8bitLt):
            scales = part.weight.SCB if part.state.SCB is None else part.state.SCB
            weight = part.weight.data * scales[:, None] / 127
        else:
            continue
        model.module.get_submodule(name).weight.data.copy_(weight.float())
    return model


@needs_bitsandbytes
def test_gradients_pass_through_packed_layers_also_after_they_were_read_without(folder, packed):
    _, model = packed
    ids = torch.tensor([model.tokenizer.encode(TEXT)])
    gradients = []
    for read in (model, unpacked(folder, model)):
        h = read.module.get_input_embeddings()(ids).detach()
        with torch.no_grad():
            read.module(inputs_embeds=h)
        h.requires_grad_()
        read.module(inputs_embeds=h).logits.logsumexp(-1).sum().backward()
        gradients.append(h.grad.flatten())
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99  # 8 bits round what goes in, too


def test_without_bitsandbytes_there_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"needs the package bitsandbytes: pip install 'semalign\[quantized\]'"):
        packing("4bit", "float32", "cpu")
