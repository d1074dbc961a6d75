"""By chunks: the value and the gradient of the plain loss, and nothing of the size of all logits."""

import dataclasses

import pytest
import torch
from pair import N_ROW, PAD, adapted_step, make_context, make_examples, make_model, trainable
from tiny import tiny
from torch.utils._python_dispatch import TorchDispatchMode

from semalign.data import collate
from semalign.losses import chunks
from semalign.losses.chunks import columns, sum_by_chunks
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.fisher import Fisher
from semalign.losses.jsd import JSD
from semalign.losses.kl import ForwardKL
from semalign.losses.onehot_cosine import OnehotCosine
from semalign.losses.reverse_kl import ReverseKL
from semalign.losses.skew_kl import SkewKL
from semalign.losses.uld import ULD
from semalign.methods.hidden_kd import HiddenKD
from semalign.methods.logit_kd import LogitKD
from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.models import SharedTokens
from semalign.pairing.depth import Depth
from semalign.strategy import available

N, WIDTH, N_TOKEN = 17, 5, 23
ROWS = 4  # a chunk; one of them is larger by one
LOSSES = [
    CrossEntropy(),
    OnehotCosine(),
    Fisher(),
    ForwardKL(),
    ForwardKL(temperature=2.5),
    ReverseKL(top_k=6),
    SkewKL(skew=0.3, temperature=0.7),
    JSD(beta=0.2, top_k=9, temperature=1.5),
    ULD(),
]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)
EXACT = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "LOGITS_AT_ONCE", ROWS * N_TOKEN - 1)
    monkeypatch.setattr(chunks, "ROWS_AT_ONCE", 1)


def capped(head, h):
    return 3 * torch.tanh(head(h) / 3)


def case(loss):
    """States, a head with a bias, and what the loss compares logits with."""
    h = torch.randn(N, WIDTH, dtype=torch.float64, requires_grad=True)
    head = torch.nn.Linear(WIDTH, N_TOKEN, dtype=torch.float64)
    target = torch.randint(0, N_TOKEN, (N,)) if loss.target == "labels" else 2 * torch.randn(N, N_TOKEN).double()
    return h, head, target, torch.arange(N) % 5 != 1


def chunked(loss, h, head, target, mask):
    def part(piece, rows):
        total = loss.total(capped(head, piece), target[rows], mask[rows])
        return total, torch.stack([total, 2 * total])

    return sum_by_chunks(part, h, N_TOKEN, list(head.parameters()))


def test_every_loss_over_the_vocabulary_is_tested():
    over_logits = {name for name, loss in available("loss").items() if loss.target in ("labels", "teacher_logits")}
    assert {loss.name for loss in LOSSES} == over_logits


@pytest.mark.usefixtures("small_chunks")
@each_loss
def test_value_and_gradients_are_those_of_the_plain_loss(loss):
    h, head, target, mask = case(loss)
    expected = loss.total(capped(head, h), target, mask)
    sources = [h, *head.parameters()]
    found, reported = chunked(loss, h, head, target, mask)
    torch.testing.assert_close(found, expected, **EXACT)
    torch.testing.assert_close(reported, torch.stack([expected, 2 * expected]), **EXACT)
    assert not reported.requires_grad
    for ours, plain in zip(
        torch.autograd.grad(-0.3 * found, sources, retain_graph=True),
        torch.autograd.grad(-0.3 * expected, sources),
        strict=True,
    ):
        torch.testing.assert_close(ours, plain, **EXACT)
    again = torch.autograd.grad(found, sources)  # the graph may be gone through more than once
    assert all(gradient.abs().sum() > 0 for gradient in again)


@pytest.mark.usefixtures("small_chunks")
def test_frozen_heads_and_constant_states_have_no_gradient():
    h, head, target, mask = case(LOSSES[0])
    head.requires_grad_(False)
    chunked(LOSSES[0], h, head, target, mask)[0].backward()
    assert h.grad is not None
    assert head.weight.grad is None
    assert head.bias.grad is None
    constant, _ = chunked(LOSSES[0], h.detach(), head, target, mask)
    assert not constant.requires_grad
    head.requires_grad_(True)
    chunked(LOSSES[0], h.detach(), head, target, mask)[0].backward()
    assert head.weight.grad is not None


@each_loss
def test_no_rows_cost_nothing(loss):
    h, head, target, mask = case(loss)
    empty = h[:0]
    total, _ = chunked(loss, empty, head, target[:0], mask[:0])
    assert total == 0
    total.backward()
    assert (h.grad == 0).all()


class Largest(TorchDispatchMode):
    """How many numbers the largest tensor has that any operation makes."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        tensors = made if isinstance(made, tuple | list) else [made]
        self.numel = max([self.numel, *(x.numel() for x in tensors if isinstance(x, torch.Tensor))])
        return made


@pytest.mark.usefixtures("small_chunks")
@each_loss
def test_nothing_as_large_as_all_logits_is_ever_made(loss):
    h, head, target, mask = case(loss)
    with Largest() as largest:
        chunked(loss, h, head, target, mask)[0].backward()
    assert largest.numel == max(ROWS + 1, WIDTH) * N_TOKEN  # a chunk's logits, the gradient of the head
    with Largest() as plain:
        loss.total(capped(head, h), target, mask).backward()
    assert plain.numel >= N * N_TOKEN


def test_first_columns_are_a_view_and_others_are_gathered():
    logits = torch.randn(3, 7)
    assert columns(logits, torch.arange(5)).data_ptr() == logits.data_ptr()
    assert torch.equal(columns(logits, torch.arange(5)), logits[:, :5])
    tokens = torch.tensor([4, 0, 6])
    assert torch.equal(columns(logits, tokens), logits[:, tokens])


METHODS = {
    "labels in answers, the teacher everywhere": SemAlign(
        outputs=(ForwardKL(temperature=2.0), CrossEntropy(weight=0.5), JSD(weight=2.0, top_k=7)), positions="all"
    ),
    "lens": SemAlign(site="block_out", loss=Fisher(), pairing=Depth(), outputs=(OnehotCosine(),)),
    "logit_kd": LogitKD(outputs=(ForwardKL(), OnehotCosine())),
    "hidden_kd": HiddenKD(positions="all"),
}


@pytest.mark.parametrize("subset", [False, True], ids=["one vocabulary", "some tokens"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_steps_do_not_depend_on_the_size_of_chunks(method, subset, monkeypatch):
    batch, found = collate(make_examples(5), PAD), []
    for size in (N_ROW - 1, 3 * N_ROW, 10**6):
        monkeypatch.setattr(chunks, "LOGITS_AT_ONCE", size)
        monkeypatch.setattr(chunks, "ROWS_AT_ONCE", 1)
        tokens = torch.tensor([i for i in range(N_ROW) if not subset or i % 7 != 2])
        context = dataclasses.replace(make_context(), tokens=SharedTokens.of_one(tokens))
        _, _, step = adapted_step(method, context)
        units = step.units(batch)
        norms = step.gradient_norms(batch, units)
        loss, totals, _ = step(batch, units)
        loss.backward()
        found.append((float(loss.detach()), totals, norms, {name: p.grad for name, p in trainable(step).items()}))
    for loss, totals, norms, gradients in found[:-1]:
        assert loss == pytest.approx(found[-1][0], rel=1e-10)
        assert {n: float(x) for n, x in totals.items()} == pytest.approx(
            {n: float(x) for n, x in found[-1][1].items()}, rel=1e-10
        )
        # the model's own norm computes in float32: a gradient that goes through it scaled has other last digits
        assert norms == pytest.approx(found[-1][2], rel=1e-6)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, found[-1][3][name], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("family", ["gemma3", "granite", "gpt2"])
def test_soft_caps_and_scalings_are_the_models_own(family, monkeypatch):
    """Chunked cross-entropy of a step is that of the model's own logits."""
    model = tiny(family)
    monkeypatch.setattr(chunks, "LOGITS_AT_ONCE", 2 * model.head_weight.shape[0])
    monkeypatch.setattr(chunks, "ROWS_AT_ONCE", 1)
    context = make_context(student=model, teacher=make_model(n_layer=3, width=24, inner=40, n_head=4, stream=1))
    _, _, step = adapted_step(SFT(), context)
    batch = collate(make_examples(4), PAD)
    _, totals, _ = step(batch, step.units(batch))
    logits = model.module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    expected = torch.nn.functional.cross_entropy(logits[batch.mask], batch.targets[batch.mask], reduction="sum")
    torch.testing.assert_close(totals["cross_entropy"], expected.detach(), rtol=1e-6, atol=0)
