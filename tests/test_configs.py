"""Every configuration that ships can be read; the paper's own pair fits together, shown without its weights."""

import dataclasses
from importlib.resources import files
from pathlib import Path

import pytest
import torch
import yaml
from tiny import tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from semalign.attribution.gradient_x_activation import GradientXActivation
from semalign.basis import Vocabulary
from semalign.compare.config import Comparison
from semalign.config import Run
from semalign.methods.semalign import SemAlign
from semalign.models import assemble, listen, lora
from semalign.pairing import PairingContext
from semalign.pairing.depth import Depth
from semalign.quickstart import quickstart_config
from semalign.sweep import find_variants
from semalign.sweep.fit import check_runs
from semalign.sweep.plan import plan

CONFIGS = Path(__file__).parents[1] / "configs"
AXES = sorted(path for path in CONFIGS.rglob("*.yaml") if "axes" in yaml.safe_load(path.read_text("utf-8")))
COMPARISONS = sorted((CONFIGS / "compare").glob("*.yaml"))
SHIPPED = sorted(set(CONFIGS.rglob("*.yaml")) - set(AXES) - set(COMPARISONS))
ACROSS = CONFIGS / "compare" / "qwen_to_smollm2.yaml"
ANSWERS = CONFIGS / "compare" / "qwen_to_smollm2_answers.yaml"
ENCODER = CONFIGS / "compare" / "embedded_t5.yaml"
PAPER = CONFIGS / "paper" / "llama2_13b_to_7b_gsm8k.yaml"
SIZES = {
    "teacher": {"num_hidden_layers": 40, "hidden_size": 5120, "num_attention_heads": 40, "intermediate_size": 13824},
    "student": {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "intermediate_size": 11008},
}
N_TOKEN = 32_000


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_shipped_configuration_can_be_read(path, monkeypatch, tmp_path):
    monkeypatch.setenv("SEMALIGN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("SEMALIGN_DATA", str(tmp_path / "data"))
    run = Run.read(path)
    assert Run(**run.plain()) == run
    for part in (run.teacher, run.student):
        assert "$" not in run.model_path(part)
    assert not any("$" in str(task.folder) for task in run.tasks)


def test_configurations_of_the_paper_and_of_real_models_ship():
    assert {path.parent.name for path in SHIPPED} >= {"paper", "real"}
    names = [yaml.safe_load(path.read_text("utf-8"))["name"] for path in SHIPPED]
    assert len(set(names)) == len(names)


@pytest.mark.slow
@pytest.mark.parametrize("axes", AXES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_variant_of_shipped_axes_fits_the_configurations_beside_them(axes, monkeypatch, tmp_path):
    monkeypatch.setenv("SEMALIGN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("SEMALIGN_DATA", str(tmp_path / "data"))
    variants = find_variants((), axes)
    bases = [path for path in SHIPPED if path.parent == axes.parent]
    assert bases
    for base in bases:
        if not Run.read(base).teacher.model.startswith(
            "embedded:"
        ):  # the models are not here, only their configuration
            for variant in variants:
                assert Run.read(base, variant.settings).evaluation.split == "validation"
            continue
        planned, _ = plan(base, variants, ())
        assert [each.name for each in planned] == ["base", *(variant.name for variant in variants)]
        assert not any(each.budget for each in planned)  # they differ in the method alone
        assert planned[0].config.evaluation.split == "validation"  # nothing is chosen on test rows


def test_the_ablations_that_the_paper_announced_ship():
    by_axis: dict[str, list[str]] = {}
    for variant in find_variants((), CONFIGS / "ablations" / "embedded" / "axes.yaml"):
        by_axis.setdefault(variant.axis, []).append(variant.label)
    assert by_axis.keys() >= {"attribution", "pairing", "map", "site", "pairs", "objective x schedule"}
    assert len(by_axis["pairing"]) >= 8
    assert {"random", "reverse"} <= set(by_axis["pairing"])
    assert {"random", "permuted logit", "geometry identity"} <= set(by_axis["map"])


@pytest.mark.parametrize("path", sorted({*COMPARISONS} - {ANSWERS, ENCODER}), ids=lambda path: path.stem)
def test_every_shipped_comparison_names_the_rivals_and_their_controls(path, monkeypatch, tmp_path):
    monkeypatch.setenv("SEMALIGN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("SEMALIGN_DATA", str(tmp_path / "data"))
    comparison = Comparison.read(path)
    (runs,) = comparison.runs(str(path)).values()
    assert comparison.recommended == "semalign"
    assert {"sft", "semalign-v1", "semalign-fisher", "semalign-geometry"} < set(runs)
    if path == ACROSS:  # the recipe starts from zero there
        assert {"logit-kd-first", "logit-kd-common", "logit-kd-uld"} < set(runs)
        assert {"semalign-logit-map", "semalign-procrustes-map"} < set(runs)
    else:  # rivals that need one tokenizer, or as many teacher layers as the student has
        assert {"pissa", "logit-kd", "seeking", "laten", "hidden-kd", "gkd"} < set(runs)
    assert runs["semalign-v1"].method == SemAlign()
    assert all(run.teacher.adapt and run.evaluation.split == "test" for run in runs.values())


def test_the_comparison_of_an_encoder_decoder_pairs_each_part_beside_the_outputs_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("SEMALIGN_MODELS", str(tmp_path / "models"))
    comparison = Comparison.read(ENCODER)
    (runs,) = comparison.runs(str(ENCODER)).values()
    methods = {name: run.method for name, run in runs.items()}
    recipe, encoder = methods["semalign"], methods["semalign-encoder"]
    assert isinstance(recipe, SemAlign)
    assert encoder == dataclasses.replace(recipe, part="encoder")
    assert methods["logit-kd"].outputs == recipe.outputs
    assert {"pissa", "sft"} < set(methods)
    assert all(run.teacher.adapt and run.evaluation.split == "test" for run in runs.values())
    assert len(comparison.seeds) == 3


def test_the_comparison_with_few_gold_rows_tells_what_the_answers_the_logits_and_the_layers_give(monkeypatch, tmp_path):
    monkeypatch.setenv("SEMALIGN_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("SEMALIGN_DATA", str(tmp_path / "data"))
    (runs,) = Comparison.read(ANSWERS).runs(str(ANSWERS)).values()
    methods = {name: run.method for name, run in runs.items()}
    assert [(name, method.follows_answers) for name, method in methods.items()] == [
        ("semalign", True),
        ("logit-kd", True),
        ("sequence-kd", True),
        ("sft", False),
    ]
    assert methods["semalign"].outputs == methods["logit-kd"].outputs
    assert methods["sequence-kd"].replace(answers="gold") == methods["sft"]
    assert all(task.rows.prompts == 4 * task.rows.train for run in runs.values() for task in run.data.tasks)
    assert all(run.teacher.adapt and run.evaluation.split == "test" for run in runs.values())


@pytest.mark.slow
def test_every_method_of_the_embedded_comparison_fits_its_pair():
    path = CONFIGS / "compare" / "embedded.yaml"
    comparison = Comparison.read(path)
    (runs,) = comparison.runs(str(path)).values()
    check_runs(list(runs.items()))
    assert len(runs) == 14
    assert len(comparison.seeds) >= 5
    assert runs["semalign"].method == quickstart_config().method


def test_the_quickstart_can_be_read_and_takes_another_seed():
    text = files("semalign").joinpath("quickstart.yaml").read_text(encoding="utf-8")
    run = quickstart_config(seed=3)
    assert run.seed == 3
    assert run == Run.make({**yaml.safe_load(text), "seed": 3})
    assert list(run.methods) == ["sft", "semalign"]


@pytest.fixture(scope="module")
def pair():
    """Both models of the paper on the meta device: shapes without a byte of weights."""
    models = {}
    with torch.device("meta"):
        for side, size in SIZES.items():
            config = LlamaConfig(vocab_size=N_TOKEN, max_position_embeddings=4096, **size)
            models[side] = assemble(side, LlamaForCausalLM(config), tiny_tokenizer())
    return models


def test_the_papers_configuration_is_its_protocol():
    run = Run.read(PAPER)
    assert run.method == SemAlign(attribution=GradientXActivation())
    assert run.controls.keys() == {"sft"}
    options = run.training
    assert (options.epochs, options.batch_size, options.learning_rate) == (5, 64, 3e-4)
    assert options.batch_size % (options.micro_batch_size or options.batch_size) == 0


def test_the_depth_rule_spans_the_papers_pair(pair):
    context = PairingContext(n_teacher=pair["teacher"].n_layer, n_student=pair["student"].n_layer)
    pairs = Depth().pair(context)
    # floor(k 40 / 32), counted from 1, by hand for the ends and the first two jumps
    layers = [layer for ((layer, _),) in (pair.teacher for pair in pairs)]
    assert (layers[0], layers[3], layers[4], layers[31]) == (0, 4, 5, 39)
    assert layers == sorted(set(layers))
    assert [pair.student for pair in pairs] == list(range(32))


@pytest.mark.parametrize("critical", range(40))
def test_every_critical_layer_has_a_student_layer_whose_depth_reaches_it(pair, critical):
    method = Run.read(PAPER).method
    scores = [float(layer == critical) for layer in range(40)]
    (found,) = method.pairing.pair(PairingContext(n_teacher=40, n_student=32, scores=scores))
    ((layer, weight),) = found.teacher
    assert weight == 1
    assert 0 <= found.student < pair["student"].n_layer
    assert critical <= layer <= critical + 1 < pair["teacher"].n_layer + 1


def test_the_adapters_exist_on_the_paired_layer_with_the_right_shapes(pair):
    run = Run.read(PAPER)
    options, layer = run.training.lora.model_dump(), 17
    with torch.device("meta"):
        adapter = lora(pair["student"], [layer], seed=0, **options)
    shapes = {name: tuple(p.shape) for name, p in adapter.named_parameters() if p.requires_grad}
    wide = {"up_proj": (4096, 11008), "down_proj": (11008, 4096), "v_proj": (4096, 4096), "o_proj": (4096, 4096)}
    expected = {}
    for module, (n_in, n_out) in wide.items():
        part = "mlp" if module in ("up_proj", "down_proj") else "self_attn"
        path = f"base_model.model.model.layers.{layer}.{part}.{module}"
        expected[f"{path}.lora_A.default.weight"] = (16, n_in)
        expected[f"{path}.lora_B.default.weight"] = (n_out, 16)
    assert shapes == expected
    adapter.unload()


def test_states_at_the_site_and_the_map_fit_together(pair):
    """The map would be [4096, 5120]: it reads the width of the teacher and writes that of the student."""
    from semalign.models import Point

    method = Run.read(PAPER).method
    ids = torch.zeros(2, 7, dtype=torch.long, device="meta")
    mask = torch.zeros(2, 1, 7, 7, device="meta")  # ready-made: transformers looks into a mask of zeros and ones
    widths = {}
    for side, model in pair.items():
        point = Point(method.site, 17)
        with listen(model, [point]) as states, torch.no_grad():
            model.module.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
        assert states[point].shape == (2, 7, model.width)
        widths[side] = states[point].shape[-1]
    tokens = torch.arange(N_TOKEN, device="meta")
    vocabularies = [Vocabulary.of(pair[side], tokens) for side in ("student", "teacher")]
    matrix = vocabularies[0].head.T @ vocabularies[1].head
    assert tuple(matrix.shape) == (widths["student"], widths["teacher"]) == (4096, 5120)
