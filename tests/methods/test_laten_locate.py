"""Located neurons and layers against a plain loop in float64, in the families whose neurons can be scored."""

import pytest
import torch
from pair import make_examples
from tiny import FAMILIES, tiny, tiny_tokenizer, tokens

from semalign.methods.laten import reading as laten_reading
from semalign.methods.laten.lens import FixedLens
from semalign.methods.laten.locate import Locator, kept_layers, layer_scores, neuron_scores
from semalign.methods.laten.places import KINDS, WRITES, Places, first_of_each, refuse_places
from semalign.methods.laten.reading import read_row
from semalign.methods.laten.rows import LocatingRow, locating_row, rows_of
from semalign.models import FINAL, Point, states_of

PLAIN = ["llama", "mistral", "qwen2", "qwen3", "gemma", "granite", "smollm3", "opt"]
"""Families with a weight of its own for each role, and sub-layers that add what they give."""

CLOSE = {"rtol": 0, "atol": 1e-6}  # the models' norms compute in float32, whatever the weights are in


def row_of(model, n=9, seed=0):
    ids = tokens(1, n, seed=seed)[0].tolist()
    return LocatingRow(f"row{seed}", tuple(ids[:-1]), ids[-1])


def read(model, row, sources="last"):
    return read_row(Places(model), FixedLens(model), row, sources)


# the lens


@pytest.mark.parametrize("family", FAMILIES)
def test_the_lens_reads_the_last_state_as_the_model_does(family):
    model, row = tiny(family), row_of(None)
    ids = torch.tensor([row.input_ids])
    lens, last = FixedLens(model), Point("block_out", model.n_layer - 1)
    with torch.no_grad():
        expected = model.module(ids).logits[0, -1].log_softmax(-1)
        states = states_of(model, [last, FINAL], ids, torch.ones_like(ids))
    state = states[last][0, -1]
    image = lens.scale(state, states[FINAL][0, -1]) * lens.image(state[None])
    found = torch.stack([lens.log_p(image, token)[0] for token in (row.target, 5, 300)])
    torch.testing.assert_close(found, expected[[row.target, 5, 300]], **CLOSE)


def test_a_norm_that_is_neither_kind_is_refused(monkeypatch):
    from semalign.errors import UserError

    model = tiny()
    monkeypatch.setattr(model.norm, "forward", lambda h: h.tanh())
    with pytest.raises(UserError, match=r"^tiny-llama: the final norm is neither an RMSNorm nor a LayerNorm"):
        FixedLens(model)


# scores


@torch.no_grad()
def plain_scores(model, row, sources="last"):
    """Scores by neuron and by layer from the equations, one neuron at a time; for Llama's module names."""
    module, config = model.module, model.module.config
    module.set_attn_implementation("eager")
    scale_added = getattr(config, "residual_multiplier", 1.0)
    ids = torch.tensor([row.input_ids])
    out = module.model(ids, output_hidden_states=True, output_attentions=True, use_cache=False)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    group = config.num_attention_heads // config.num_key_value_heads
    gain = 1 + module.model.norm.weight if config.model_type == "gemma" else module.model.norm.weight
    found = {}
    layers = []
    for layer, block in enumerate(module.model.layers):
        h_in = out.hidden_states[layer][0]
        normed = block.input_layernorm(h_in)
        v = block.self_attn.v_proj(normed)
        values = torch.zeros(config.num_attention_heads * head_dim, dtype=v.dtype)
        whole = torch.zeros_like(values)
        for e in range(config.num_attention_heads):
            alpha = out.attentions[layer][0, e, -1]
            for j in range(head_dim):
                column = v[:, e // group * head_dim + j]
                values[e * head_dim + j] = alpha[-1] * column[-1]
                whole[e * head_dim + j] = (alpha * column).sum()
        attention = scale_added * (block.self_attn.o_proj(whole))
        middle = h_in[-1] + attention
        x = block.post_attention_layernorm(middle)
        speaks = block.mlp.act_fn(block.mlp.gate_proj(x)) * block.mlp.up_proj(x)
        ffn = scale_added * block.mlp.down_proj(speaks)
        layers.append((h_in[-1], middle, middle + ffn, values if sources == "last" else whole, speaks))
    final = layers[-1][2]
    rms = (final.square().mean() + config.rms_norm_eps).sqrt()

    def log_p(state):
        z = module.lm_head(gain * state / rms) / getattr(config, "logits_scaling", 1.0)
        return z.log_softmax(-1)[row.target]

    for layer, (h_in, middle, after, values, speaks) in enumerate(layers):
        o, down = (module.model.layers[layer].self_attn.o_proj.weight, module.model.layers[layer].mlp.down_proj.weight)
        found["attention", layer] = [
            log_p(h_in + scale_added * c * o[:, k]) - log_p(h_in) for k, c in enumerate(values)
        ]
        found["ffn", layer] = [
            log_p(middle + scale_added * c * down[:, k]) - log_p(middle) for k, c in enumerate(speaks)
        ]
        found["layer attention", layer] = log_p(middle) - log_p(h_in)
        found["layer ffn", layer] = log_p(after) - log_p(middle)
    return {key: torch.as_tensor(value) for key, value in found.items()}


@pytest.mark.parametrize("sources", ["last", "all"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma", "granite"])
def test_scores_are_those_of_a_plain_loop(family, sources):
    """Grouped queries, tied embeddings, biases, a gain of 1 + weight, heads wider than d / n_head, scaled outputs."""
    model, row = tiny(family), row_of(None)
    found = read(model, row, sources)
    places, lens = Places(model), FixedLens(model)
    expected = plain_scores(model, row, sources)
    for kind in KINDS:
        (layers,) = layer_scores(lens, kind, [found])
        for layer in range(model.n_layer):
            scores = neuron_scores(places, lens, kind, layer, [found])[0]
            assert expected[kind, layer].std() > 1e-3
            torch.testing.assert_close(scores, expected[kind, layer], **CLOSE)
            torch.testing.assert_close(layers[layer], expected[f"layer {kind}", layer], **CLOSE)


@pytest.mark.parametrize("family", PLAIN)
def test_neurons_add_up_to_what_their_layer_adds(family):
    model, row = tiny(family), row_of(None)
    found, places = read(model, row, "all"), Places(model)
    for kind in KINDS:
        for layer in range(model.n_layer):
            columns = places.vectors(WRITES[kind], layer, torch.arange(places.n_neuron(kind)))
            total = found.coefficients[kind][layer] @ columns
            bias = places.module(WRITES[kind], layer).bias
            total = total if bias is None else total + bias.detach()
            added = found.after[kind][layer] - found.before[kind][layer]
            torch.testing.assert_close(total, added, **CLOSE)


@pytest.mark.parametrize("family", PLAIN)
def test_in_a_row_of_one_token_the_last_position_is_all_there_is(family):
    model, row = tiny(family), LocatingRow("one", (7,), 9)
    one, whole = (read(model, row, sources).coefficients["attention"] for sources in ("last", "all"))
    torch.testing.assert_close(one, whole, rtol=0, atol=1e-12)
    longer = row_of(None)
    one, whole = (read(model, longer, sources).coefficients["attention"] for sources in ("last", "all"))
    assert (one - whole).abs().max() > 1e-3


def test_chunks_and_other_rows_change_no_score():
    model = tiny()
    places, lens = Places(model), FixedLens(model)
    readings = [read(model, row_of(None, n, seed=n)) for n in (4, 9, 6)]
    for kind in KINDS:
        whole = neuron_scores(places, lens, kind, 1, readings)
        for chunk in (1, 7):
            torch.testing.assert_close(neuron_scores(places, lens, kind, 1, readings, chunk=chunk), whole)
        alone = torch.cat([neuron_scores(places, lens, kind, 1, [one]) for one in readings])
        torch.testing.assert_close(alone, whole)


def test_no_chunk_holds_more_logits_than_it_may(monkeypatch):
    from semalign.methods.laten import locate as laten_locate

    model, seen = tiny(), []
    lens, places = FixedLens(model), Places(model)
    monkeypatch.setattr(laten_locate, "LOGITS_AT_ONCE", 5 * len(lens.head))
    image = FixedLens.image
    monkeypatch.setattr(FixedLens, "image", lambda self, v: seen.append(len(v)) or image(self, v))
    neuron_scores(places, lens, "ffn", 0, [read(model, row_of(None))])
    assert max(seen) == 5
    assert sum(seen) >= places.n_neuron("ffn")


def test_a_planted_neuron_is_the_best_of_its_layer():
    model, row = tiny(), row_of(None)
    down = Places(model).module("down", 1).weight
    speaks = read(model, row).coefficients["ffn"][1, 17]
    with torch.no_grad():
        down[:, 17] = 3 * model.head_weight[row.target] * speaks.sign() / speaks.abs()
    locator = Locator(n_layer=3, count={"ffn": 4, "attention": 2})
    (found,) = locator.locate(model, [row], torch.Generator())
    assert found["ffn"].layers == (0, 1, 2)
    assert found["ffn"].neurons[1, 0] == 17


def test_half_precision_is_scored_in_float32():
    model, row = tiny(dtype=torch.bfloat16), row_of(None)
    found, lens = read(model, row), FixedLens(model)
    scores = neuron_scores(Places(model), lens, "ffn", 0, [found])
    assert scores.dtype == lens.head.dtype == torch.float32
    assert len(scores.unique()) > 0.9 * scores.numel()  # bfloat16 logits would tie nearly all of them


# choosing


def test_the_best_layers_are_kept_in_order_of_depth():
    assert kept_layers(torch.tensor([0.1, 3.0, -1.0, 2.0, 0.1]), 3) == [0, 1, 3]


def test_neurons_are_ranked_within_each_kept_layer():
    model, rows = tiny(n_layer=4), [row_of(None, seed=s) for s in (1, 2)]
    found = Locator(n_layer=2, count={"ffn": 5, "attention": 3}).locate(model, rows, torch.Generator())
    places, lens = Places(model), FixedLens(model)
    for row, one in zip(rows, found, strict=True):
        for kind, count in (("ffn", 5), ("attention", 3)):
            reading = read(model, row)
            best = layer_scores(lens, kind, [reading])[0].argsort(descending=True)[:2]
            assert one[kind].layers == tuple(sorted(best.tolist()))
            for layer, neurons in zip(one[kind].layers, one[kind].neurons, strict=True):
                scores = neuron_scores(places, lens, kind, layer, [reading])[0]
                assert scores[neurons].tolist() == scores.sort(descending=True).values[:count].tolist()


def test_random_neurons_depend_on_the_seed_alone():
    model, rows = tiny(), [row_of(None, seed=s) for s in (1, 2)]
    locator = Locator(n_layer=3, count={"ffn": 9, "attention": 5}, choice="random")
    first, again, other = (locator.locate(model, rows, torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    for kind, count in locator.count.items():
        neurons = first[0][kind].neurons
        assert torch.equal(neurons, again[0][kind].neurons)
        assert not torch.equal(neurons, other[0][kind].neurons)
        assert not torch.equal(neurons, first[1][kind].neurons)
        assert all(len(set(one.tolist())) == count for one in neurons)


# places


def test_neurons_of_grouped_queries_share_a_row_of_values():
    """Query heads 0 and 1 look at value head 0, 2 and 3 at value head 1: four heads of 6, two of values."""
    places = Places(tiny())
    assert places.n_place("v") == 12
    assert places.place("v", torch.tensor([0, 5, 6, 11, 12, 18, 23])).tolist() == [0, 5, 0, 5, 6, 6, 11]
    assert places.place("o", torch.tensor([0, 6])).tolist() == [0, 6]
    assert first_of_each(torch.tensor([3, 1, 3, 2, 1])).tolist() == [0, 1, 3]


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(PLAIN)))
def test_models_without_neurons_of_their_own_are_refused(family):
    from semalign.errors import UserError

    with pytest.raises(UserError, match="method 'laten'") as caught:
        refuse_places(tiny(family))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", PLAIN)
def test_models_with_neurons_of_their_own_are_not(family):
    refuse_places(tiny(family))


def test_no_hook_stays_also_after_a_failure(monkeypatch):
    model, row = tiny(), row_of(None)
    read(model, row)
    monkeypatch.setattr(laten_reading, "_own_values", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        read(model, row)
    parts = list(model.module.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)


# locating rows


def test_the_target_is_the_last_token_that_says_something():
    tokenizer = tiny_tokenizer()

    def row(prompt, answer):
        ids, more = (tokenizer(text, add_special_tokens=False).input_ids for text in (prompt, answer))
        return ids, more, locating_row("r", [*ids, *more, tokenizer.eos_token_id], len(ids), tokenizer)

    ids, more, found = row("What is it?", " the lazy dog.).\n")
    assert tokenizer.decode([found.target]).strip() == tokenizer.decode([more[-5]]).strip() != ""
    assert tokenizer.decode([*found.input_ids, found.target]) == "What is it? the lazy dog"
    ids, more, found = row("What is it?", "...")
    assert (list(found.input_ids), found.target) == ([*ids, *more], tokenizer.eos_token_id)


def test_rows_of_batches_are_those_of_the_examples():
    from semalign.data import batches

    tokenizer, examples = tiny_tokenizer(), make_examples(5)
    expected = [locating_row(e.id, e.input_ids, e.n_prompt, tokenizer) for e in examples]
    assert rows_of(list(batches(examples, 3, 0)), tokenizer) == expected
