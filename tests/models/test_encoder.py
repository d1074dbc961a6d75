"""Encoders as models of their own: places and states are the model's own, and adapters on them come off again."""

import pytest
import torch
from tiny import tokens
from tiny_seq2seq import SEQ2SEQ, tiny_seq2seq

from semalign.errors import UserError
from semalign.models import (
    FINAL,
    Point,
    encoder_of,
    load_adapter,
    lora,
    lora_targets,
    merge,
    recomputing,
    run_trunk,
    save_adapter,
    states_of,
    states_with_prompt,
    unload,
)


@pytest.fixture(params=SEQ2SEQ)
def model(request):
    return tiny_seq2seq(request.param)


def prompts():
    ids = tokens(2, 7, seed=2)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return ids, mask


def answers():
    ids = tokens(2, 4, seed=1)
    return ids, torch.ones_like(ids)


def own_logits(module):
    (ids, mask), (answer, _) = prompts(), answers()
    with torch.no_grad():
        return module(input_ids=ids, attention_mask=mask, decoder_input_ids=answer).logits


def test_its_last_state_is_what_the_decoder_asks(model):
    ids, mask = prompts()
    part = encoder_of(model)
    assert (part.n_layer, part.width, part.is_encoder_decoder) == (2, model.width, False)
    with torch.no_grad():
        own = model.module.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        heard = states_of(part, [FINAL, Point("block_out", 1)], ids, mask)
        torch.testing.assert_close(run_trunk(part, ids, mask), own)
    torch.testing.assert_close(heard[FINAL], own)
    torch.testing.assert_close(part.norm(heard[Point("block_out", 1)]), own)


@pytest.mark.parametrize("family", [name for name in SEQ2SEQ if name != "bart"])  # whose norm comes after the sum
def test_contributions_are_what_its_layers_add(family):
    part = encoder_of(tiny_seq2seq(family))
    points = [Point(site, 1) for site in ("attn_out", "mlp_out", "block_delta")]
    with torch.no_grad():
        attention, mlp, delta = states_of(part, points, *prompts()).values()
    torch.testing.assert_close(attention + mlp, delta)
    assert attention.norm() > 0 < mlp.norm()


def test_one_pass_gives_its_states_and_the_final_one_of_the_whole(model):
    encoder, rows, points = prompts(), answers(), [Point("mlp_out", 0), Point("block_out", 1)]
    ran = []
    hook = model.blocks[0].register_forward_hook(lambda *_: ran.append("decoder"))
    with torch.no_grad():
        both = states_with_prompt(model, points, *rows, encoder=encoder, final=True)
        assert ran == ["decoder"]
        alone = states_with_prompt(model, points, *rows, encoder=encoder, final=False)
        assert ran == ["decoder"]
        final = states_of(model, [FINAL], *rows, encoder=encoder)[FINAL]
    hook.remove()
    assert set(both) == {*points, FINAL}
    assert torch.equal(both[FINAL], final)
    for point in points:
        torch.testing.assert_close(both[point], alone[point])
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.module.modules())


@pytest.mark.parametrize("layers", [[], [0, 2]])
def test_adapters_sit_on_the_layers_named_in_each_part_and_come_off(model, tmp_path, layers):
    before, roles = own_logits(model.module), ("q", "v", "cross_v", "up", "down")
    adapter = lora(model, layers, encoder_layers=[1], rank=2, roles=roles, dropout=0)
    names = [name for name, p in adapter.named_parameters() if p.requires_grad]
    part = encoder_of(model)
    ours = [name for name in names if f"{part.family.blocks}.1." in name]
    assert len(ours) == 2 * 4  # an encoder asks no other part
    assert len(names) == len(ours) + 2 * 5 * len(layers)
    torch.manual_seed(1)
    for p in adapter.parameters():
        if p.requires_grad:
            p.data = 0.3 * torch.randn_like(p)
    adapted = own_logits(model.module)
    assert not torch.allclose(adapted, before)
    save_adapter(adapter, tmp_path / "adapter")
    torch.testing.assert_close(own_logits(merge(adapter)), adapted)
    unload(adapter)
    assert torch.equal(own_logits(model.module), before)
    load_adapter(model, tmp_path / "adapter")
    torch.testing.assert_close(own_logits(model.module), adapted)


def test_gradient_checkpointing_changes_no_gradient_of_an_encoder(model):
    adapter = lora(model, [0], encoder_layers=[0, 1], rank=2, dropout=0, roles=("v", "up"))
    gradients = []

    def backward():
        adapter.zero_grad()
        points = [Point("block_out", 0), Point("mlp_out", 1)]
        states = states_with_prompt(model, points, *answers(), encoder=prompts(), final=True)
        torch.stack([state.square().sum() for state in states.values()]).sum().backward()
        gradients.append([p.grad.clone() for p in adapter.parameters() if p.grad is not None])

    backward()
    with recomputing(model):
        backward()
    assert len(gradients[0]) == 2 * 2 * 3
    assert all(map(torch.equal, *gradients))


def test_roles_and_layers_that_an_encoder_does_not_have_are_refused():
    model = tiny_seq2seq()
    with pytest.raises(UserError, match="no role to adapt"):
        lora_targets(encoder_of(model), ["cross_q", "cross_v"])
    with pytest.raises(UserError, match="the encoder of tiny-t5: no layer 2; layers are 0 to 1"):
        lora(model, [], encoder_layers=[2])
