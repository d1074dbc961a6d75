"""The four divergences from the teacher's distribution: plain versions, their ends and bounds, the likeliest tokens."""

import math

import pytest
import torch

from semalign.errors import UserError
from semalign.losses.divergence import Divergence
from semalign.losses.jsd import JSD
from semalign.losses.kl import ForwardKL
from semalign.losses.reverse_kl import ReverseKL
from semalign.losses.skew_kl import SkewKL
from semalign.strategy import available, build

N, N_TOKEN = 13, 11
BETAS = (0.0, 0.1, 0.5, 0.8, 1.0)
ALL = torch.ones(N, dtype=torch.bool)


def probabilities(logits, temperature):
    powers = [math.exp(z / temperature) for z in logits]
    return [power / sum(powers) for power in powers]


def plain_kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def plain_jsd(p_teacher, p_student, beta):
    """TRL's generalized_jsd_loss for one token: the ends are the two Kullback-Leibler divergences."""
    if beta == 0:
        return plain_kl(p_teacher, p_student)
    if beta == 1:
        return plain_kl(p_student, p_teacher)
    mixture = [beta * t + (1 - beta) * s for t, s in zip(p_teacher, p_student, strict=True)]
    return beta * plain_kl(p_teacher, mixture) + (1 - beta) * plain_kl(p_student, mixture)


def plain_skew(p_teacher, p_student, skew):
    return plain_kl(p_teacher, [skew * t + (1 - skew) * s for t, s in zip(p_teacher, p_student, strict=True)])


CASES = [
    (ForwardKL(), plain_kl),
    (ReverseKL(), lambda teacher, student: plain_kl(student, teacher)),
    (SkewKL(skew=0.3), lambda teacher, student: plain_skew(teacher, student, 0.3)),
    *((JSD(beta=beta), lambda teacher, student, beta=beta: plain_jsd(teacher, student, beta)) for beta in BETAS),
]
each_case = pytest.mark.parametrize(("loss", "plain"), CASES, ids=lambda value: repr(value) if value in CASES else "")
each_loss = pytest.mark.parametrize("loss", [loss for loss, _ in CASES], ids=repr)


@pytest.fixture
def logits():
    """Student and teacher."""
    return 2 * torch.randn(N, N_TOKEN, dtype=torch.float64), 2 * torch.randn(N, N_TOKEN, dtype=torch.float64)


def test_every_divergence_is_tested_and_can_be_named():
    divergences = {name for name, loss in available("loss").items() if issubclass(loss, Divergence)}
    assert divergences == {loss.name for loss, _ in CASES}
    assert build("loss", {"name": "jsd", "beta": 0.2, "top_k": 5, "temperature": 2}) == JSD(
        beta=0.2, top_k=5, temperature=2.0
    )


@each_case
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("top_k", [None, 2, 5])
def test_a_divergence_is_its_plain_version(loss, plain, temperature, top_k, logits):
    student, teacher = logits
    costs = []
    for z_student, z_teacher in zip(student.tolist(), teacher.tolist(), strict=True):
        likely = sorted(range(N_TOKEN), key=lambda i: -z_teacher[i])[:top_k]
        theirs, ours = (probabilities([z[i] for i in likely], temperature) for z in (z_teacher, z_student))
        costs.append(temperature**2 * plain(theirs, ours))
    asked = loss.replace(temperature=temperature, top_k=top_k)
    assert float(asked.total(student, teacher, ALL)) == pytest.approx(sum(costs), rel=0, abs=1e-10)


@each_loss
@pytest.mark.parametrize("top_k", [None, 4])
def test_a_divergence_is_zero_where_both_agree_and_positive_elsewhere(loss, top_k, logits):
    student, teacher = logits
    loss = loss.replace(top_k=top_k)
    assert abs(float(loss(teacher + 3, teacher, ALL))) < 1e-12
    assert all(float(loss(s, t, ALL[:1])) > 0 for s, t in zip(student.split(1), teacher.split(1), strict=True))


@each_loss
def test_as_many_tokens_as_there_are_is_all_of_them(loss, logits):
    total = loss.total(*logits, ALL)
    torch.testing.assert_close(loss.replace(top_k=N_TOKEN).total(*logits, ALL), total, rtol=1e-12, atol=0)
    assert abs(float(loss.replace(top_k=N_TOKEN - 1).total(*logits, ALL) - total)) > 1e-3


@each_loss
def test_what_the_student_says_of_unlikely_tokens_makes_no_difference(loss, logits):
    student, teacher = logits
    likely = torch.zeros(N, N_TOKEN, dtype=torch.bool).scatter(1, teacher.topk(3).indices, True)
    loss = loss.replace(top_k=3)
    moved = torch.where(likely, student, 50 * torch.rand_like(student)).requires_grad_()
    total = loss.total(moved, teacher, ALL)
    torch.testing.assert_close(total, loss.total(student, teacher, ALL), rtol=1e-12, atol=0, check_stride=False)
    (gradient,) = torch.autograd.grad(total, moved)
    assert ((gradient != 0) == likely).all()


@each_loss
def test_gradients_over_the_likeliest_tokens_are_right(loss, logits):
    student, teacher = logits
    asked = loss.replace(top_k=4, temperature=1.5)
    assert torch.autograd.gradcheck(lambda z: asked.total(z, teacher, ALL), student.requires_grad_())


def test_the_divergence_of_both_from_their_mean_is_symmetric(logits):
    student, teacher = logits
    torch.testing.assert_close(JSD()(student, teacher, ALL), JSD()(teacher, student, ALL), rtol=1e-12, atol=0)
    for beta in (0.1, 0.3):  # and the mirror image elsewhere
        mirrored = JSD(beta=1 - beta)(teacher, student, ALL)
        torch.testing.assert_close(JSD(beta=beta)(student, teacher, ALL), mirrored, rtol=1e-12, atol=0)
        assert abs(float(JSD(beta=beta)(teacher, student, ALL) - mirrored)) > 1e-3


def test_certain_and_opposite_models_are_log_two_apart_at_most():
    student, teacher = torch.tensor([[0.0, 400.0]]).double(), torch.tensor([[400.0, 0.0]]).double()
    assert JSD()(student, teacher, ALL[:1]) == pytest.approx(math.log(2))
    assert JSD(temperature=2.0)(student, teacher, ALL[:1]) == pytest.approx(4 * math.log(2))


def test_the_ends_are_the_two_divergences(logits):
    assert torch.equal(JSD(beta=0.0)(*logits, ALL), ForwardKL()(*logits, ALL))
    assert torch.equal(JSD(beta=1.0)(*logits, ALL), ReverseKL()(*logits, ALL))


def test_towards_an_end_it_is_that_divergence_times_the_distance(logits):
    """Agarwal et al. 2023, section 2: over beta it tends to the forward divergence, so between the ends it is small."""
    for beta in (1e-4, 1e-5):
        assert JSD(beta=beta)(*logits, ALL) / beta == pytest.approx(float(ForwardKL()(*logits, ALL)), rel=300 * beta)
        other = JSD(beta=1 - beta)(*logits, ALL) / beta
        assert other == pytest.approx(float(ReverseKL()(*logits, ALL)), rel=300 * beta)


@pytest.mark.parametrize(("field", "value"), [("beta", -0.1), ("beta", 1.1), ("top_k", 1), ("top_k", 0)])
def test_values_without_a_meaning_are_refused(field, value):
    with pytest.raises(UserError, match=f"{field}: input should be"):
        build("loss", {"name": "jsd", field: value})
