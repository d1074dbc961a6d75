"""Shrinking keeps the blocks it is told to and gives a model like any other."""

import pytest
import torch
from tiny import FAMILIES, tiny, tokens
from transformers import AutoModelForCausalLM

from semalign.errors import UserError
from semalign.models import Point, listen, save_plain, shrink, silence

MIXTURES = ("mixtral", "qwen3_moe")  # their grouped matrix product has no float64


@pytest.fixture(params=FAMILIES)
def model(request):
    return tiny(request.param, n_layer=4, dtype=torch.float32 if request.param in MIXTURES else torch.float64)


def test_all_layers_kept_is_the_same_model(model):
    again = shrink(model, [0, 1, 2, 3])
    assert torch.equal(again.module(tokens(2, 7)).logits, model.module(tokens(2, 7)).logits)


def test_a_dropped_layer_is_a_silenced_one(model):
    with silence(model, [Point("block_delta", 1)]):
        expected = model.module(tokens(2, 7)).logits
    assert torch.equal(shrink(model, [0, 2, 3]).module(tokens(2, 7)).logits, expected)


def test_the_original_stays_whole(model):
    before = model.module(tokens(2, 7)).logits
    shrunk = shrink(model, [1, 3])
    for parameter in shrunk.module.parameters():
        parameter.data.zero_()
    assert torch.equal(model.module(tokens(2, 7)).logits, before)
    assert (model.n_layer, model.module.config.num_hidden_layers) == (4, 4)


def test_it_generates_with_its_cache(model):
    shrunk = shrink(model, [1, 3]).module
    options = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None}
    cached, plain = (shrunk.generate(tokens(1, 7), use_cache=use, **options) for use in (True, False))
    assert torch.equal(cached, plain)


def test_it_reloads_as_a_plain_model(model, tmp_path):
    shrunk = shrink(model, [1, 3])
    save_plain(shrunk.module, shrunk.tokenizer, tmp_path / "model")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert again.config.num_hidden_layers == 2
    expected = shrunk.module(tokens(2, 7)).logits
    torch.testing.assert_close(again(tokens(2, 7)).logits, expected, rtol=0, atol=1e-5)


def test_it_can_be_listened_to(model):
    shrunk = shrink(model, [1, 3])
    with listen(shrunk, [Point("mlp_out", 1)]) as heard:
        shrunk.module(tokens(2, 7))
    assert heard[Point("mlp_out", 1)].shape == (2, 7, model.width)


def test_each_layers_own_settings_follow_it():
    model = tiny("gemma2", n_layer=4)
    kinds = model.module.config.layer_types
    assert shrink(model, [0, 2]).module.config.layer_types == [kinds[0], kinds[2]]


UNFIT = [([], "at least one"), ([0, 3], "0 to 2"), ([-1], "0 to 2"), ([1, 1], "ascend"), ([2, 0], "ascend")]


@pytest.mark.parametrize(("keep", "says"), UNFIT)
def test_layers_that_cannot_be_kept_are_refused(keep, says):
    with pytest.raises(UserError, match=says):
        shrink(tiny(), keep)
