"""The quickstart's training, but for dropout, by two processes: the losses of one, whole models or divided."""

import pytest
import torch
from processes import in_processes

from semalign.contamination import load_tasks
from semalign.data import padding_token
from semalign.methods import Given
from semalign.models.sharding import shard
from semalign.prepare import load_model, method_context, tokens_of
from semalign.quickstart import quickstart_config
from semalign.results import encode_rows
from semalign.training import EngineOptions, start_engine

CPU = torch.device("cpu")
N_ROW = 48  # three steps of the quickstart's 114


def trained(folder, engine=None):
    """Losses, gradient norms and cosines of the first steps, as `semalign quickstart` would do them."""
    config = quickstart_config()
    started = start_engine(CPU, engine)
    student, teacher = (load_model(config, part, CPU) for part in (config.student, config.teacher))
    rows, tokens = encode_rows(config, load_tasks(config)[0], student), tokens_of(config, teacher, student)
    if started.sharded:
        shard(student, CPU)
        shard(teacher, CPU)
    context, method = method_context(config, rows, teacher, student, tokens), config.method
    plan = method.plan(context)
    options = config.training.model_copy(
        update={"epochs": 1, "lora": config.training.lora.model_copy(update={"dropout": 0.0})}
    )
    adapter = method.adapt(context, plan, options.lora)
    given = Given(
        rows={"train": rows.split("train")[::8][:N_ROW]},
        options=options,
        pad_id=padding_token(student.tokenizer),
        folder=folder,
        engine=started,
    )
    entries = method.fit(context, plan, adapter, given).entries
    return [
        [entry["loss"], entry["grad_norm"], *entry["terms"].values(), *entry["cosine"].values()] for entry in entries
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("alone"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_losses_are_those_of_one_process(name, alone, tmp_path):
    for found in in_processes(2, trained, tmp_path, EngineOptions(name=name)):
        assert len(found) == len(alone) == 3
        for values, values_of_one in zip(found, alone, strict=True):
            assert values[0] == pytest.approx(values_of_one[0], abs=1e-6)
            assert values[1:] == pytest.approx(values_of_one[1:], abs=1e-5)
