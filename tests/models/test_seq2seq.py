"""Encoder-decoders: places, states and logits are the model's own, partial passes and adapters touch the decoder."""

import json

import pytest
import torch
from tiny import N_ROW, tiny, tiny_tokenizer, tokens
from tiny_seq2seq import SEQ2SEQ, tiny_seq2seq
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from semalign.errors import UserError
from semalign.models import (
    FINAL,
    Point,
    assemble,
    families,
    listen,
    load,
    load_adapter,
    lora,
    merge,
    reading,
    recomputing,
    run_trunk,
    save_adapter,
    save_plain,
    shrink,
    silence,
    states_of,
    unload,
)

SITES = ("attn_out", "mlp_out", "block_delta", "block_out")


@pytest.fixture(params=SEQ2SEQ)
def model(request):
    return tiny_seq2seq(request.param)


def given(n_row=3, n_prompt=7, n_answer=5):
    """Decoder ids and mask, and what the encoder reads; rows of different lengths."""
    ids, prompt = tokens(n_row, n_answer, seed=1), tokens(n_row, n_prompt, seed=2)
    mask, prompt_mask = torch.ones_like(ids), torch.ones_like(prompt)
    for row in range(n_row):
        mask[row, n_answer - row :] = 0
        prompt_mask[row, n_prompt - 2 * row :] = 0
    return ids, mask, (prompt, prompt_mask)


def own_logits(model, ids, mask, encoder):
    with torch.no_grad():
        return model.module(
            input_ids=encoder[0], attention_mask=encoder[1], decoder_input_ids=ids, decoder_attention_mask=mask
        ).logits


def test_logits_of_the_final_state_are_the_models_own(model):
    ids, mask, encoder = given()
    with torch.no_grad():
        final = run_trunk(model, ids, mask, encoder=encoder)
        heard = states_of(model, [FINAL, Point("block_out", model.n_layer - 1)], ids, mask, encoder=encoder)
        expected = own_logits(model, ids, mask, encoder)
        for logits in (
            model.logits(final),
            model.logits(heard[FINAL]),
            model.read(heard[Point("block_out", model.n_layer - 1)]),
        ):
            torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)


def test_the_head_times_its_scale_gives_the_logits(model):
    h = torch.randn(2, model.width, dtype=torch.float64)
    bias = getattr(model.module, "final_logits_bias", torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close((h @ model.head_weight.T + bias) * model.head_scale, model.logits(h))


def test_blocks_are_the_decoders_and_contributions_are_what_they_add(model):
    ids, mask, encoder = given()
    assert model.n_layer == 3
    points = [Point(site, layer) for site in SITES for layer in range(3)]
    with torch.no_grad():
        heard = states_of(model, points, ids, mask, encoder=encoder)
        for layer in range(3):
            with silence(model, [Point("mlp_out", layer)]):
                without = states_of(model, [Point("block_out", layer)], ids, mask, encoder=encoder)
            state, bare = heard[Point("block_out", layer)], without[Point("block_out", layer)]
            assert state.shape == (3, 5, 24)
            if model.family.name != "bart":  # whose norm comes after the sum
                torch.testing.assert_close(state - bare, heard[Point("mlp_out", layer)])
            else:
                assert not torch.allclose(state, bare)


def test_partial_passes_give_the_states_of_whole_ones(model):
    ids, mask, encoder = given()
    points = [Point("block_out", layer) for layer in range(3)]
    with torch.no_grad():
        whole = states_of(model, [*points, FINAL], ids, mask, encoder=encoder)
        first = states_of(model, points[:1], ids, mask, encoder=encoder)
        later = states_of(model, [points[1], FINAL], ids, mask, encoder=encoder, first=1, entry=whole[points[0]])
    torch.testing.assert_close(first[points[0]], whole[points[0]])
    torch.testing.assert_close(later[points[1]], whole[points[1]])
    torch.testing.assert_close(later[FINAL], whole[FINAL])


def test_blocks_behind_the_deepest_point_do_not_run(model):
    ran = []
    hooks = [block.register_forward_hook(lambda *_, layer=i: ran.append(layer)) for i, block in enumerate(model.blocks)]
    ids, mask, encoder = given()
    states_of(model, [Point("block_out", 1)], ids, mask, encoder=encoder)
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1]


def test_padded_rows_have_the_states_of_rows_alone(model):
    ids, mask, encoder = given()
    with torch.no_grad():
        together = states_of(model, [FINAL], ids, mask, encoder=encoder)[FINAL]
        for row in range(3):
            n, m = int(mask[row].sum()), int(encoder[1][row].sum())
            prompt = (encoder[0][row : row + 1, :m], torch.ones(1, m, dtype=torch.long))
            alone = states_of(model, [FINAL], ids[row : row + 1, :n], mask[row : row + 1, :n], encoder=prompt)[FINAL]
            torch.testing.assert_close(together[row : row + 1, :n], alone)


def test_adapters_sit_on_the_decoders_layers_alone_and_come_off(model, tmp_path):
    ids, mask, encoder = given()
    before, roles = own_logits(model, ids, mask, encoder), ("q", "k", "v", "o", "cross_v", "up", "down")
    adapter = lora(model, [0, 2], rank=2, roles=roles, dropout=0)
    names = [name for name, p in adapter.named_parameters() if p.requires_grad]
    assert len(names) == 2 * 2 * len(roles)
    assert all(f"{model.family.blocks}.0." in name or f"{model.family.blocks}.2." in name for name in names)
    torch.manual_seed(1)
    for p in adapter.parameters():
        if p.requires_grad:
            p.data = 0.3 * torch.randn_like(p)
    adapted = own_logits(model, ids, mask, encoder)
    assert not torch.allclose(adapted, before)
    save_adapter(adapter, tmp_path / "adapter")
    save_plain(merge(adapter), model.tokenizer, tmp_path / "merged")
    unload(adapter)
    assert torch.equal(own_logits(model, ids, mask, encoder), before)
    load_adapter(model, tmp_path / "adapter")
    torch.testing.assert_close(own_logits(model, ids, mask, encoder), adapted)
    merged = load(str(tmp_path / "merged"))
    assert merged.is_encoder_decoder
    assert merged.decoder_start == model.decoder_start
    torch.testing.assert_close(own_logits(merged, ids, mask, encoder), adapted)
    torch.testing.assert_close(merged.logits(run_trunk(merged, ids, mask, encoder=encoder)), adapted)


def test_gradient_checkpointing_changes_no_gradient(model):
    ids, mask, encoder = given()
    adapter = lora(model, [0, 1, 2], rank=2, dropout=0, roles=("v", "up"))
    gradients = []
    for again in (False, True):
        adapter.zero_grad()
        if again:
            with recomputing(model):
                states_of(model, [FINAL], ids, mask, encoder=encoder)[FINAL].square().sum().backward()
        else:
            states_of(model, [FINAL], ids, mask, encoder=encoder)[FINAL].square().sum().backward()
        gradients.append([p.grad.clone() for p in adapter.parameters() if p.grad is not None])
    assert gradients[0]
    assert all(map(torch.equal, *gradients))


def test_what_is_read_is_counted_in_both_parts(model):
    ids, mask, encoder = given()
    with reading(model) as read:
        states_of(model, [Point("block_out", 0)], ids, mask, encoder=encoder)
    assert read() == int(mask.sum() + encoder[1].sum())


def test_decoders_begin_as_their_configuration_says():
    assert tiny_seq2seq("t5").decoder_start == 0
    assert tiny_seq2seq("bart").decoder_start == 2
    assert tiny("llama").decoder_start is None


def test_a_gate_tells_the_two_forms_of_t5_apart():
    assert tiny_seq2seq("t5").family is families()["t5"]
    assert tiny_seq2seq("t5_gated").family is tiny_seq2seq("mt5", feed_forward_proj="gated-gelu").family
    assert tiny_seq2seq("t5").head_scale == pytest.approx(24**-0.5)
    assert tiny_seq2seq("t5_gated").head_scale == 1


def test_an_encoder_decoder_is_not_cut():
    with pytest.raises(UserError, match="encoder-decoder, and only decoder-only models can be cut"):
        shrink(tiny_seq2seq(), [0, 1])


def test_an_encoder_decoder_of_no_listed_family_is_refused():
    config = AutoConfig.for_model("blenderbot", d_model=32, vocab_size=N_ROW, encoder_layers=1, decoder_layers=1)
    module = AutoModelForSeq2SeqLM.from_config(config)
    with pytest.raises(UserError, match=r"unknown model family 'blenderbot'.*bart\.yaml"):
        assemble("b", module, tiny_tokenizer())


def test_a_model_that_does_not_say_how_its_decoder_begins_is_refused(tmp_path):
    model = tiny_seq2seq("t5", bos_token_id=None)
    save_plain(model.module, model.tokenizer, tmp_path / "m")
    for name in ("config.json", "generation_config.json"):
        path = tmp_path / "m" / name
        values = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in values.items() if k != "decoder_start_token_id"}))
    with pytest.raises(UserError, match="set decoder_start_token_id"):
        load(str(tmp_path / "m"))


def test_hooks_are_gone_afterwards(model):
    ids, mask, encoder = given()
    with listen(model, [FINAL, Point("mlp_out", 1)]):
        run_trunk(model, ids, mask, encoder=encoder)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.module.modules())
