"""Training with checkpointed blocks: the losses and adapters of training without, for every method that has a loss."""

from dataclasses import replace

import pytest
import torch
from pair import PAD, adapted_step, make_context, make_examples, trainable
from tiny_run import config_of

from semalign.config import Run
from semalign.data import collate
from semalign.errors import UserError
from semalign.losses.geometry import Geometry
from semalign.losses.kl import ForwardKL
from semalign.methods.base import Given
from semalign.methods.gkd import GKD
from semalign.methods.hidden_kd import HiddenKD
from semalign.methods.logit_kd import LogitKD
from semalign.methods.pissa import PiSSA
from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.models import recomputing
from semalign.pairing.depth import Depth
from semalign.schedules.frontier import Frontier
from semalign.training import LoraOptions, TrainingOptions

OPTIONS = TrainingOptions(epochs=3, batch_size=4, learning_rate=0.02, micro_batch_size=3, diagnose_every=2)
STAGED = SemAlign(pairing=Depth(), loss=Geometry(), site="block_delta", outputs=(ForwardKL(),))
METHODS = {
    "semalign": SemAlign(),
    "balanced": SemAlign(balance=True),
    "frontier": STAGED.replace(schedule=Frontier(cache=True)),
    "frontier_without_cache": STAGED.replace(schedule=Frontier(cache=False), site="attn_out"),
    "logit_kd": LogitKD(),
    "hidden_kd": HiddenKD(),
    "gkd": GKD(on_policy=0.7),
    "pissa": PiSSA(),
    "sft": SFT(),
}


def trained(method, folder, checkpointing):
    lora = LoraOptions(rank=3, dropout=0.2)
    context = replace(make_context(), lora=lora)
    plan = method.plan(context)
    adapter = method.adapt(context, plan, lora)
    options = OPTIONS.model_copy(update={"gradient_checkpointing": checkpointing})
    given = Given(rows={"train": make_examples(6)}, options=options, pad_id=PAD, folder=folder)
    history = method.fit(context, plan, adapter, given)
    assert not any("forward" in vars(block) for block in context.student.blocks)
    return history.entries, {name: p.detach() for name, p in adapter.named_parameters() if "lora_" in name}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_training_is_the_same_with_dropout_stages_and_measured_gradients(method, tmp_path):
    entries, adapters = trained(method, tmp_path / "plain", False)
    again, checkpointed = trained(method, tmp_path / "checkpointed", True)
    for a, b in zip(again, entries, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-12)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-12)
        assert a.get("term_gradient_norms", {}) == pytest.approx(b.get("term_gradient_norms", {}), rel=1e-12)
    for name, value in adapters.items():
        torch.testing.assert_close(checkpointed[name], value, rtol=1e-12, atol=1e-12)


def test_the_gradients_of_a_step_are_the_same():
    batch, found = collate(make_examples(5), PAD), []
    for again in (False, True):
        context = make_context()
        _, _, step = adapted_step(SemAlign(outputs=(ForwardKL(),)), context)
        if again:
            with recomputing(context.student):
                step(batch, step.units(batch))[0].backward()
        else:
            step(batch, step.units(batch))[0].backward()
        found.append({name: p.grad for name, p in trainable(step).items()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-12, atol=1e-12)


def test_runs_begun_before_there_was_checkpointing_go_on():
    assert "gradient_checkpointing" not in TrainingOptions().model_dump()
    assert TrainingOptions(gradient_checkpointing=True).model_dump()["gradient_checkpointing"] is True


def test_a_run_of_which_no_method_could_checkpoint_is_refused(world):
    path = config_of(world, name="laten_alone", method="laten", controls=[], training={"gradient_checkpointing": True})
    with pytest.raises(UserError, match="gradient_checkpointing: has no effect on any of the methods"):
        Run.read(path)
    assert Run.read(path, ["method=sft"]).training.gradient_checkpointing
