"""Loading gives the model that was saved, or one line that says what is wrong."""

import copy
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import FAMILIES, tiny, tiny_tokenizer, tokens
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from semalign.errors import UserError
from semalign.models import assemble, load, save_plain


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    model = tiny("llama", dtype=torch.float32)
    save_plain(model.module, model.tokenizer, folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(saved, tmp_path / "model")


def refusal(name):
    """The one line with which `name` is refused."""
    with pytest.raises(UserError) as caught:
        load(str(name))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def edit_weights(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"format": "pt"})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_comes_back(family, tmp_path):
    model = tiny(family, dtype=torch.float32)
    save_plain(model.module, model.tokenizer, tmp_path / "model")
    again = load(str(tmp_path / "model"))
    # the files are mapped into memory, where other alignments sum in another order
    torch.testing.assert_close(again.module(tokens(2, 7)).logits, model.module(tokens(2, 7)).logits, rtol=0, atol=1e-5)
    assert again.family == model.family
    assert not again.module.training


def test_a_saved_folder_holds_nothing_of_ours(saved):
    names = {path.name for path in saved.iterdir()}
    plain = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert names == plain
    assert "semalign" not in (saved / "config.json").read_text()


def test_the_dtype_can_be_chosen(saved):
    assert load(str(saved)).module.dtype == torch.float32
    assert load(str(saved), dtype="bfloat16").head_weight.dtype == torch.bfloat16


def test_real_tokens_exclude_padded_rows(saved):
    model = load(str(saved))
    assert model.n_token == len(tiny_tokenizer()) < model.head_weight.shape[0]


def test_loading_is_silent(saved, capfd):
    load(str(saved))
    assert capfd.readouterr() == ("", "")


def test_a_missing_folder_is_refused(tmp_path):
    assert "no such folder" in refusal(tmp_path / "nowhere")


def test_a_hub_id_without_a_network_is_refused():
    assert "HF_HUB_OFFLINE" in refusal("nobody/nothing-of-this-name")


def test_an_embedded_model_of_another_name_is_refused():
    assert "Did you mean 'teacher'" in refusal("embedded:techer")


def test_a_file_is_refused(folder):
    assert "is a file" in refusal(folder / "config.json")


def test_a_folder_without_configuration_is_refused(folder):
    (folder / "config.json").unlink()
    assert "has no config.json" in refusal(folder)


def test_an_adapter_without_its_model_is_refused(folder):
    (folder / "config.json").rename(folder / "adapter_config.json")
    assert "PEFT adapter" in refusal(folder)


def test_an_adapter_beside_the_model_is_refused(folder):
    (folder / "adapter_config.json").write_text("{}")
    assert "beside the model" in refusal(folder)


def test_a_broken_configuration_is_refused(folder):
    (folder / "config.json").write_text("{")
    assert "configuration" in refusal(folder)


def test_an_unknown_architecture_is_refused(folder):
    edit_config(folder, model_type="lama")
    assert "lama" in refusal(folder)


@pytest.mark.parametrize(
    ("kind", "says"), [("whisper", "not a language model"), ("gemma3", "multimodal"), ("vit", "not a language model")]
)
def test_models_of_another_kind_are_refused(folder, kind, says):
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    assert says in refusal(folder)


def test_missing_weights_are_refused(folder):
    (folder / "model.safetensors").unlink()
    assert "no safetensors" in refusal(folder)


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "convert to safetensors" in refusal(folder)


@pytest.mark.parametrize("n_byte", [0, 5, 900, -7])
def test_truncated_weights_are_refused(folder, n_byte):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:n_byte])
    assert "corrupt or truncated" in refusal(folder)


def test_a_missing_shard_is_refused(folder):
    index = {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00002-of-00002.safetensors is missing" in refusal(folder)


def test_incomplete_weights_are_refused(folder):
    edit_weights(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    assert "model.layers.1.mlp.up_proj.weight is not in the files" in refusal(folder)


def test_weights_of_another_shape_are_refused(folder):
    edit_config(folder, intermediate_size=45)
    assert "(24, 44) in the files but config.json asks for (24, 45)" in refusal(folder)


def test_weights_of_more_layers_are_reported(folder):
    edit_config(folder, num_hidden_layers=2)
    with pytest.warns(UserWarning, match=r"9 weights of the files are not used, model\.layers\.2"):
        load(str(folder))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(folder, value):
    def spoil(weights):
        weights["model.norm.weight"][3] = value

    edit_weights(folder, spoil)
    assert "model.norm.weight holds NaN" in refusal(folder)


def test_a_missing_tokenizer_is_refused(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert "tokenizer" in refusal(folder)


def other_tokenizer(n_token, **special):
    core = Tokenizer(models.WordLevel({f"w{i}": i for i in range(n_token)}, unk_token="w0"))
    return PreTrainedTokenizerFast(tokenizer_object=core, **special)


@pytest.mark.parametrize(
    ("tokenizer", "says"),
    [
        (other_tokenizer(340), "340 tokens but 331 rows"),
        (other_tokenizer(331, pad_token="[PAD]"), "pad token has id 331"),
        (other_tokenizer(40), "40 tokens for 331 rows"),
    ],
)
def test_a_tokenizer_of_another_model_is_refused(folder, tokenizer, says):
    tokenizer.save_pretrained(folder)
    assert says in refusal(folder)


def test_added_tokens_without_a_row_are_reported(folder):
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.add_tokens([f"<image {i}>" for i in range(33)])
    tokenizer.save_pretrained(folder)
    with pytest.warns(UserWarning, match="2 added tokens have no row"):
        assert load(str(folder)).n_token == 331


def test_special_ids_beyond_the_tokenizer_are_refused(folder):
    edit_config(folder, eos_token_id=320)
    assert "eos token has id 320" in refusal(folder)


def test_variants_that_project_their_states_are_refused():
    with pytest.raises(UserError, match="variant"):
        tiny("opt", word_embed_proj_dim=12)
    with pytest.raises(UserError, match="variant"):
        tiny("opt", do_layer_norm_before=False)


def test_assembling_keeps_the_module():
    model = tiny("gpt2")
    assert assemble("again", model.module, model.tokenizer).module is model.module
