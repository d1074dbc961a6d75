"""Families that are not listed are found by structure, or refused."""

import pytest
import torch
from tiny import GATED, tiny_model, tokens

from semalign.errors import UserError
from semalign.models import FINAL, Point, listen, lora

FOUND = {
    "stablelm": GATED,
    "starcoder2": GATED,
    "cohere": GATED | {"logit_scale": 0.3},
    "olmo": GATED,
    "glm4": GATED | {"head_dim": 6},
    "gptj": {"n_inner": 44, "rotary_dim": 4},
    "phi": {"intermediate_size": 44, "width": 32},
}


@pytest.mark.filterwarnings("ignore:.*found by structure")
@pytest.mark.parametrize("model_type", FOUND)
def test_structure_is_found(model_type):
    model = tiny_model(model_type, **FOUND[model_type])
    points = [Point("attn_out", 1), Point("mlp_out", 1), Point("block_delta", 1), FINAL]
    with listen(model, points) as heard:
        output = model.module(tokens(2, 7))
    parts = heard[points[0]] + heard[points[1]]
    torch.testing.assert_close(parts, heard[points[2]], rtol=0, atol=1e-10)
    torch.testing.assert_close(model.logits(heard[FINAL]), output.logits, rtol=0, atol=1e-10)
    trainable = [name for name, value in lora(model, [1]).named_parameters() if value.requires_grad]
    assert len(trainable) == 8


def test_discovery_is_reported():
    with pytest.warns(UserWarning, match="found by structure"):
        tiny_model("stablelm", **GATED)


@pytest.mark.parametrize("model_type", ["bloom", "mamba"])
def test_other_structures_are_refused(model_type):
    sizes = {"n_layer": 3, "n_head": 4} if model_type != "mamba" else {}
    with pytest.raises(UserError, match=rf"families/{model_type}\.yaml"):
        tiny_model(model_type, **sizes)
