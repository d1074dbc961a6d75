"""Adapters train the chosen layers only, merge exactly and come off without a trace."""

import pytest
import torch
from peft import PeftModel
from tiny import FAMILIES, tiny, tokens

from semalign.errors import UserError
from semalign.models import lora, merge, save_adapter, save_plain, unload


def roles_of(model):
    return [role for role in ("up", "down", "v", "o") if role in model.family.roles]


def adapted(family="llama", layers=(1,), **options):
    """A model with adapters away from their first values, and what its weights were."""
    model = tiny(family)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    peft_model = lora(model, layers, rank=3, roles=roles_of(model), **options).eval()
    for _, parameter in trainable(peft_model):
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model, peft_model, before


def trainable(peft_model):
    return [(name, value) for name, value in peft_model.named_parameters() if value.requires_grad]


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_chosen_layers_train(family):
    model, peft_model, _ = adapted(family, layers=[0, 2])
    path = model.family.blocks
    names = [name for name, _ in trainable(peft_model)]
    modules = {model.family.roles[role] for role in roles_of(model)}
    expected = {f"{path}.{layer}.{module}" for layer in (0, 2) for module in modules}
    assert {name.removeprefix("base_model.model.").rpartition(".lora_")[0] for name in names} == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_a_merged_copy_equals_the_adapted_model(family):
    model, peft_model, before = adapted(family)
    merged = merge(peft_model)
    x = tokens(2, 7)
    torch.testing.assert_close(merged(x).logits, peft_model(x).logits, rtol=0, atol=1e-10)
    assert merged.state_dict().keys() == before.keys()
    assert trainable(peft_model)
    assert merged is not model.module


@pytest.mark.parametrize("family", FAMILIES)
def test_unloading_gives_the_base_back_to_the_bit(family):
    model, peft_model, before = adapted(family)
    x = tokens(2, 7)
    adapted_logits = model.module(x).logits
    assert unload(peft_model) is model.module
    after = model.module.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not torch.allclose(model.module(x).logits, adapted_logits)
    assert not any(parameter.requires_grad for parameter in model.module.parameters())


def test_a_model_can_be_adapted_again_whatever_peft_leaves_on_it(monkeypatch):
    model, peft_model, _ = adapted()
    config = peft_model.peft_config

    def unload_as_peft_0_18(self):
        self.base_model.unload()
        model.module.peft_config = config
        return model.module

    monkeypatch.setattr(PeftModel, "unload", unload_as_peft_0_18, raising=False)
    unload(peft_model)
    lora(model, [0], rank=2, roles=roles_of(model))


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_base_can_be_adapted_again():
    model, peft_model, _ = adapted()
    unload(peft_model)
    again = lora(model, [2], rank=3)
    assert all(".2." in name for name, _ in trainable(again))


def test_two_adapters_at_once_are_refused():
    model, *_ = adapted()
    with pytest.raises(AssertionError, match="unload it first"):
        lora(model, [2])


def test_the_seed_decides_the_first_values():
    first, second, other = (dict(trainable(lora(tiny(), [1], rank=3, seed=seed))) for seed in (5, 5, 6))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_seed_of_others_is_left_alone():
    expected = torch.random.get_rng_state()
    model = tiny()
    torch.random.set_rng_state(expected)
    lora(model, [1])
    assert torch.equal(torch.random.get_rng_state(), expected)


def test_a_new_adapter_changes_nothing():
    model = tiny()
    before = model.module(tokens(2, 7)).logits
    assert torch.equal(lora(model, [1]).eval()(tokens(2, 7)).logits, before)


def test_a_saved_adapter_comes_back(tmp_path):
    model, peft_model, _ = adapted()
    save_adapter(peft_model, tmp_path / "adapter")
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= names
    expected = peft_model(tokens(2, 7)).logits
    again = PeftModel.from_pretrained(unload(peft_model), tmp_path / "adapter").eval()
    # adapters are saved and made in the base's dtype
    torch.testing.assert_close(again(tokens(2, 7)).logits, expected, rtol=0, atol=1e-6)
    assert model.module is again.get_base_model()


def test_an_adapted_model_is_not_saved_as_a_plain_one(tmp_path):
    model, *_ = adapted()
    with pytest.raises(AssertionError, match="merge"):
        save_plain(model.module, model.tokenizer, tmp_path / "model")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("family", "layers", "roles", "says"),
    [
        ("gpt2", [0], ["gate"], "unknown LoRA role of the gpt2 family 'gate'"),
        ("llama", [0], ["dwn"], "Did you mean 'down'"),
        ("llama", [3], ["up"], "0 to 2"),
        ("llama", [], ["up"], "no layer"),
        ("llama", [0], [], "no role"),
    ],
)
def test_what_cannot_be_adapted_is_refused(family, layers, roles, says):
    with pytest.raises(UserError, match=says):
        lora(tiny(family), layers, roles=roles)


def test_an_adapter_with_nan_is_not_merged():
    _, peft_model, _ = adapted()
    trainable(peft_model)[0][1].data.fill_(float("nan"))
    with pytest.raises(UserError, match="cannot be merged"):
        merge(peft_model)
