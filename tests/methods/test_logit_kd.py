"""Logit distillation: its gradients are those of a plain loop over tokens, and what it refuses."""

import pytest
import torch
from pair import N_ROW, PAD, adapted_step, make_context, make_examples, make_model, trainable
from torch.nn.functional import log_softmax

from semalign.data import collate
from semalign.errors import UserError
from semalign.losses.cosine import Cosine
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.fisher import Fisher
from semalign.losses.jsd import JSD
from semalign.losses.kl import ForwardKL
from semalign.losses.reverse_kl import ReverseKL
from semalign.losses.skew_kl import SkewKL
from semalign.methods.logit_kd import LogitKD
from semalign.methods.semalign import SemAlign
from semalign.models import shared_tokens
from semalign.pairing.depth import Depth


def kl(p, q):
    """KL(p || q) from log-probabilities."""
    return (p.exp() * (p - q)).sum()


def mixed(p, q, share):
    return torch.log(share * p.exp() + (1 - share) * q.exp())


PLAIN = {
    "kl": (ForwardKL(), kl),
    "reverse_kl": (ReverseKL(), lambda t, s: kl(s, t)),
    "skew_kl": (SkewKL(skew=0.2), lambda t, s: kl(t, mixed(t, s, 0.2))),
    "jsd": (JSD(beta=0.3), lambda t, s: 0.3 * kl(t, mixed(t, s, 0.3)) + 0.7 * kl(s, mixed(t, s, 0.3))),
}


@pytest.mark.parametrize("top_k", [None, 7])
@pytest.mark.parametrize("kind", PLAIN)
def test_the_gradient_is_that_of_a_plain_loop_over_answer_tokens(kind, top_k):
    """Teacher and student read every row alone, without padding; cross-entropy counts a third."""
    loss, divergence = PLAIN[kind]
    temperature, context, rows = 1.7, make_context(), make_examples(6)
    outputs = (CrossEntropy(weight=1 / 3), loss.replace(temperature=temperature, top_k=top_k, weight=0.8))
    _, _, step = adapted_step(LogitKD(outputs=outputs), context)
    batch = collate(rows, PAD)
    value, _, _ = step(batch, step.units(batch))
    value.backward()
    found = {name: p.grad.clone() for name, p in trainable(step).items()}
    costs = []
    for row in rows:
        ids = torch.tensor([row.input_ids])
        student = context.student.module(ids).logits[0]
        teacher = context.teacher.module(ids).logits[0].detach()
        for pos in range(row.n_prompt - 1, len(row.input_ids) - 1):
            likely = teacher[pos].argsort(descending=True)[:top_k]
            t, s = (log_softmax(z[pos][likely] / temperature, -1) for z in (teacher, student))
            gold = log_softmax(student[pos], -1)[row.input_ids[pos + 1]]
            costs.append(0.8 * temperature**2 * divergence(t, s) - gold / 3)
    expected = torch.stack(costs).mean()
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)
    gradients = torch.autograd.grad(expected, list(trainable(step).values()))
    for (name, gradient), plain in zip(found.items(), gradients, strict=True):
        assert plain.abs().max() > 0, name
        torch.testing.assert_close(gradient, plain, rtol=1e-8, atol=1e-12)


def test_without_the_teacher_it_is_refused_with_every_loss_that_looks_at_it():
    expected = "'outputs' holds no loss that looks at the teacher; add one of fisher, jsd, kl, reverse_kl, skew_kl, uld"
    with pytest.raises(UserError) as caught:
        LogitKD(outputs=(CrossEntropy(),))
    assert str(caught.value) == expected
    with pytest.raises(UserError, match="'cosine' compares states"):
        LogitKD(outputs=(ForwardKL(), Cosine()))


@pytest.mark.parametrize(
    "method",
    [
        LogitKD(outputs=(CrossEntropy(), JSD(top_k=400))),
        SemAlign(outputs=(ReverseKL(top_k=400),)),
        SemAlign(site="block_out", loss=SkewKL(top_k=400)),
    ],
    ids=["logit_kd", "output", "lens"],
)
def test_more_tokens_than_both_models_have_are_refused_before_anything_runs(method):
    sizes = {"n_layer": 2, "width": 16, "inner": 28, "n_head": 2, "stream": 2}
    model = make_model(**sizes)
    assert len(shared_tokens(model, model)) == N_ROW
    with pytest.raises(UserError) as caught:
        method.check(model, model, 10)
    assert f"'top_k' is 400, but the two models share {N_ROW} tokens; lower it" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_tokens_may_be_asked_for():
    context = make_context()
    for method in (LogitKD(outputs=(Fisher(), ForwardKL(top_k=N_ROW))), SemAlign(outputs=(JSD(top_k=N_ROW),))):
        method.check(context.teacher, context.student, 10)


def test_a_lens_may_look_at_the_likeliest_tokens():
    batch = collate(make_examples(4), PAD)
    found = {}
    for top_k in (None, 5, N_ROW):
        method = SemAlign(site="block_out", loss=ForwardKL(top_k=top_k), pairing=Depth(), outputs=())
        _, _, step = adapted_step(method, make_context())
        found[top_k] = float(step(batch, step.units(batch))[0].detach())
    assert found[N_ROW] == pytest.approx(found[None], rel=1e-12)
    assert found[5] != pytest.approx(found[None], rel=1e-3)
