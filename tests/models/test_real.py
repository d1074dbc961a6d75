"""Real pretrained weights: what is heard is what the model computes."""

import os
from pathlib import Path

import pytest
import torch

from semalign.models import FINAL, Point, listen, load, shared_tokens, shrink

FOLDER = Path(os.environ.get("SEMALIGN_MODELS", Path.home() / ".cache/semalign-models")) / "smollm2-135m-instruct"

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no weights at {FOLDER}; SEMALIGN_MODELS names another folder"),
]


@pytest.fixture(scope="module")
def model():
    return load(str(FOLDER), dtype="float32")


def test_sites_add_up_and_the_head_reads_the_final_state(model):
    points = [Point("attn_out", 7), Point("mlp_out", 7), Point("block_delta", 7), FINAL]
    ids = model.tokenizer("Nine plus four is", return_tensors="pt").input_ids
    with torch.no_grad(), listen(model, points) as heard:
        output = model.module(ids)
    parts = heard[points[0]] + heard[points[1]]
    # the difference of two states in float32 loses what their size takes
    torch.testing.assert_close(parts, heard[points[2]], rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(model.logits(heard[FINAL]), output.logits)


def test_sizes(model):
    assert (model.n_layer, model.width, model.n_token) == (30, 576, 49152)
    assert len(shared_tokens(model, model)) == 49152


def test_a_shrunk_model_generates(model):
    small = shrink(model, range(0, 30, 3))
    ids = model.tokenizer("Nine plus four is", return_tensors="pt").input_ids
    assert small.module.generate(ids, max_new_tokens=4, do_sample=False).shape[1] == ids.shape[1] + 4
