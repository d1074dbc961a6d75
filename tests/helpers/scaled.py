"""A short training in float64 as one process or several do it, and what must be alike."""

import pytest
import torch
from pair import PAD, adapted_step, make_context, make_examples, trainable

from semalign.methods.semalign import SemAlign
from semalign.training import TrainingOptions, train

N_EXAMPLE = 11  # batches of 7 and of 4 rows
OPTIONS = TrainingOptions(epochs=2, batch_size=7, learning_rate=0.02, diagnose_every=2, checkpoint_every=1)
# what a step measures over all of its rows; a term's gradient norm is that of one micro-batch
OVER_ALL = ("loss", "grad_norm", "tokens", "supervised", "lr")
CLOSE = {"rel": 1e-9, "abs": 1e-12}  # models are float64: only the order of sums differs


class Stopped(Exception):
    pass


def trained(
    folder, method=None, options=OPTIONS, *, stop_at=None, rows=N_EXAMPLE, dropout=0.0, context=None, engine=None
):
    """What training measured at each step, the weights it ends with, and the rows that this process ran a step."""
    _, _, step = adapted_step(method or SemAlign(), context or make_context(), dropout=dropout)
    ran = []
    step.register_forward_pre_hook(lambda _step, given: ran.append(given[0].ids))

    def advance(done):
        if done == stop_at:
            raise Stopped

    given = {"pad_id": PAD, "seed": 4, "folder": folder, "advance": advance, "engine": engine}
    try:
        entries = train(step, make_examples(rows), options, **given).entries
    except Stopped:
        entries = None
    return entries, {name: p.detach().clone() for name, p in trainable(step).items()}, ran


def measured(entries):
    return [{**{name: entry[name] for name in OVER_ALL}, **entry["terms"], **entry["cosine"]} for entry in entries]


def assert_alike(found, expected):
    for entry, wanted in zip(measured(found[0]), measured(expected[0]), strict=True):
        assert entry == pytest.approx(wanted, **CLOSE)
    for name, weight in expected[1].items():
        torch.testing.assert_close(found[1][name], weight, rtol=CLOSE["rel"], atol=CLOSE["abs"])
