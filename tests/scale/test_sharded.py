"""With the blocks of student and teacher divided among processes, what is trained, heard and answered is the same."""

import pytest
import torch
from lm_eval.api.instance import Instance
from pair import PAD, STUDENT, TEACHER, make_context, make_examples, make_model
from processes import in_processes
from scaled import assert_alike, trained
from tiny_run import sums

from semalign.attribution.gradient_x_activation import GradientXActivation
from semalign.data import Row, batches
from semalign.evaluation.model import HarnessModel
from semalign.methods.gkd import GKD
from semalign.methods.hidden_kd import HiddenKD
from semalign.models import FINAL, Point, load, states_of
from semalign.models.sharding import is_sharded, shard
from semalign.strategy import build
from semalign.training import start_engine

CPU = torch.device("cpu")
METHODS = {
    "latent alone": build("method", {"name": "semalign", "outputs": []}),
    "every layer": build("method", {"name": "semalign", "pairing": "depth", "outputs": ["cross_entropy", "kl"]}),
    "stages": build(
        "method",
        {"name": "semalign", "pairing": "depth", "schedule": {"name": "frontier", "cache": False}, "site": "block_out"},
    ),
    "projectors": HiddenKD(),
    "own answers": GKD(on_policy=1.0),
}


def trained_sharded(folder, method, **changes):
    start_engine(CPU)
    context = make_context()
    for model in (context.student, context.teacher):
        shard(model, CPU)
    return trained(folder, method, context=context, **changes)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_two_processes_train_as_one(method, tmp_path):
    one = trained(tmp_path / "one", method)
    for found in in_processes(2, trained_sharded, tmp_path / "two", method):
        assert_alike(found, one)


def test_what_was_divided_goes_on_alone(tmp_path):
    method = METHODS["every layer"]
    one = trained(tmp_path / "one", method)
    in_processes(2, trained_sharded, tmp_path / "two", method, stop_at=2)
    assert_alike(trained(tmp_path / "two", method), one)


def looked_at():
    """Scores of layers and states of a sharded model, and how much of its blocks this process holds."""
    start_engine(CPU)
    model = make_model(**TEACHER)
    n_whole = sum(p.numel() for block in model.blocks for p in block.parameters())
    shard(model, CPU)
    assert is_sharded(model)
    held = sum(p.to_local().numel() for block in model.blocks for p in block.parameters())
    return held / n_whole, *_seen(model)


def _seen(model):
    batch = next(iter(batches(make_examples(5), 5, PAD)))
    points = [Point("mlp_out", 1), Point("block_delta", 3), FINAL]
    states = states_of(model, points, batch.input_ids, batch.attention_mask)
    return GradientXActivation().score(model, [batch]), [states[point].detach() for point in points]


def test_a_process_holds_its_part_of_the_blocks_and_sees_all():
    scores, states = _seen(make_model(**TEACHER))
    assert not is_sharded(make_model(**STUDENT))
    for share, found, seen in in_processes(4, looked_at):
        assert share == pytest.approx(1 / 4, abs=0.01)
        torch.testing.assert_close(found, scores)
        torch.testing.assert_close(seen, states)


def answered_apart(folder, sharded):
    """Texts and likelihoods of rows of unequal length, and how many rows went through this process's model."""
    start_engine(CPU)
    model = load(str(folder))
    rows = [Row(f"row{i}", "sums", sums(i)["prompt"] * (i + 1), sums(i)["answer"]) for i in range(5)]
    if sharded:
        shard(model, CPU)
    lm = HarnessModel(model, template="plain", batch_size=1)
    lm.begin(rows, None, 0)
    prompts = list(lm._rows)
    n_read: list[int] = []
    model.blocks[0].register_forward_pre_hook(lambda _module, inputs: n_read.append(len(inputs[0])))
    asked = {"until": [], "max_gen_toks": 4, "do_sample": False}
    texts = lm.generate_until([Instance("generate_until", {}, (text, asked), 0) for text in prompts])
    n_written = len(n_read)
    pairs = [(text, row.answer) for text, row in zip(prompts, rows, strict=True)]
    nats = lm.loglikelihood([Instance("loglikelihood", {}, pair, 0) for pair in pairs])
    return texts, nats, n_written, len(n_read) - n_written


def test_each_process_answers_its_share_whole_or_divided(world):
    whole = in_processes(2, answered_apart, world / "teacher", False)
    divided = in_processes(2, answered_apart, world / "teacher", True)
    assert whole[0][:2] == whole[1][:2]
    for (texts, nats, *_), (texts_of_whole, nats_of_whole, *_) in zip(divided, whole, strict=True):
        assert texts == texts_of_whole
        assert [value for value, _ in nats] == pytest.approx([value for value, _ in nats_of_whole], abs=1e-4)
    assert [n for *_, n in whole] == [3, 2]  # five rows of one batch each
    assert [n for *_, n in divided] == [3, 3]  # who had two runs along in the third pass
