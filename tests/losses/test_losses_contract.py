"""What every loss promises: zero at its target, blind to masked tokens, exact under accumulation, differentiable."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from semalign.losses.cka import CKA
from semalign.losses.cosine import Cosine
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.fisher import Fisher
from semalign.losses.geometry import Geometry
from semalign.losses.jsd import JSD
from semalign.losses.kl import ForwardKL
from semalign.losses.mse import MSE
from semalign.losses.onehot_cosine import OnehotCosine
from semalign.losses.procrustes import Procrustes
from semalign.losses.reverse_kl import ReverseKL
from semalign.losses.skew_kl import SkewKL
from semalign.losses.uld import ULD
from semalign.strategy import available

N_ROW, N_POS, WIDTH = 3, 9, 7
KEPT = ((0, 1), (0, 3), (0, 4), (0, 6), (0, 8), (1, 0), (2, 1), (2, 2), (2, 4), (2, 5))  # 5, 1 and 4 tokens a row


def target_like(loss, shape):
    """Something of the kind that the loss compares a state or logits of this shape with."""
    if loss.target == "labels":
        return torch.randint(0, shape[-1], shape[:-1])
    return torch.randn(shape, dtype=torch.float64)


def reached(loss, target):
    """A state or logits at which the target is reached: the loss is 0, or as close as a finite logit comes."""
    return 60.0 * one_hot(target, WIDTH).double() if loss.target == "labels" else target.clone()


def masked(*keep):
    mask = torch.zeros(N_ROW, N_POS, dtype=torch.bool)
    for position in keep:
        mask[position] = True
    return mask


@pytest.fixture(params=available("loss").values(), ids=lambda cls: cls.name)
def loss(request):
    return request.param()


@pytest.fixture
def case(loss):
    """States, target and a mask with a different number of tokens in each row."""
    shape = (N_ROW, N_POS, WIDTH)
    return (
        torch.randn(shape, dtype=torch.float64),
        target_like(loss, shape),
        masked(*KEPT),
    )


def test_a_reached_target_costs_nothing(loss, case):
    _, target, mask = case
    assert loss(reached(loss, target), target, mask).abs() < 1e-12


def test_a_loss_is_positive_away_from_its_target(loss, case):
    h, target, mask = case
    assert loss(h, target, mask) > 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_no_state_costs_less_than_nothing(loss, seed):
    torch.manual_seed(seed)
    shape = (N_ROW, N_POS, WIDTH)
    h, target = 5 * torch.randn(shape, dtype=torch.float64), target_like(loss, shape)
    each = torch.stack([loss(h[i], target[i], torch.ones(N_POS, dtype=torch.bool)) for i in range(N_ROW)])
    assert each.min() >= 0


def counted(loss, mask):
    """The tokens that make a difference: those of sequences long enough for the loss."""
    least = loss.at_least if loss.unit == "sequence" else 1
    return mask & (mask.sum(-1, keepdim=True) >= least)


def test_units_are_what_the_loss_says_it_is_a_mean_over(loss, case):
    mask = counted(loss, case[-1])
    assert loss.units(case[-1]) == (mask.any(-1).sum() if loss.unit == "sequence" else mask.sum())
    assert loss.units(case[-1]) > 1


@pytest.mark.parametrize("value", [1e3, math.nan, math.inf])
def test_masked_tokens_change_nothing(loss, case, value):
    h, target, mask = case
    h.requires_grad_()
    expected = loss(h, target, mask)
    (gradient,) = torch.autograd.grad(expected, h)
    other = torch.where(mask.unsqueeze(-1), h, value).detach().requires_grad_()
    other_target = (
        torch.where(mask, target, -100) if loss.target == "labels" else torch.where(mask.unsqueeze(-1), target, value)
    )
    again = loss(other, other_target, mask)
    assert torch.equal(again, expected)
    (other_gradient,) = torch.autograd.grad(again, other)
    assert torch.equal(other_gradient, gradient)
    assert (gradient[~mask] == 0).all()
    counts = counted(loss, mask)
    assert (gradient[counts].abs().sum(-1) > 0).all()
    assert (gradient[~counts] == 0).all()


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 2), (2, 1)])
def test_accumulated_batches_are_the_large_batch(loss, case, sizes):
    h, target, mask = case
    parts = zip(h.split(sizes), target.split(sizes), mask.split(sizes), strict=True)
    totals, units = zip(*((loss.total(*part), loss.units(part[-1])) for part in parts), strict=True)
    torch.testing.assert_close(sum(totals) / sum(units), loss(h, target, mask), rtol=1e-12, atol=1e-12)
    if len(set(units)) > 1:  # the mean of means is another number where batches hold different numbers of units
        means = [total / max(n, 1) for total, n in zip(totals, units, strict=True)]
        assert (sum(means) / len(means) - loss(h, target, mask)).abs() > 1e-6


def test_gradients_are_right(loss, case):
    h, target, mask = case
    assert torch.autograd.gradcheck(lambda states: loss.total(states, target, mask), h.requires_grad_())


def test_an_empty_mask_costs_nothing(loss, case):
    h, target, mask = case
    empty = torch.zeros_like(mask)
    cost = loss(h.requires_grad_(), target, empty)
    assert cost == 0
    assert loss.units(empty) == 0
    (gradient,) = torch.autograd.grad(cost, h)
    assert (gradient == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_totals_are_float32_or_better(loss, case, dtype):
    h, target, mask = case
    low = h.to(dtype), target if loss.target == "labels" else target.to(dtype)
    total = loss.total(*low, mask)
    assert total.dtype == torch.float32
    high = [x.double() if x.is_floating_point() else x for x in low]
    torch.testing.assert_close(total.double(), loss.total(*high, mask), rtol=1e-5, atol=2e-5)
    assert loss.total(*high, mask).dtype == torch.float64


def test_a_loss_over_tokens_works_on_flattened_tokens(loss, case):
    h, target, mask = case
    if loss.unit == "sequence":  # flattened tokens are one long sequence, and that is another thing
        assert loss.units(mask.flatten()) == 1
        return
    flat = loss.total(h.flatten(0, 1), target.flatten(0, 1), mask.flatten())
    torch.testing.assert_close(flat, loss.total(h, target, mask), rtol=1e-12, atol=1e-12)


# plain versions, a token at a time


def plain_cosine(h, target):
    return 1 - sum(a * b for a, b in zip(h, target, strict=True)) / (math.hypot(*h) * math.hypot(*target))


def probabilities(logits, temperature=1.0):
    powers = [math.exp(z / temperature) for z in logits]
    return [power / sum(powers) for power in powers]


def plain_cross_entropy(h, target):
    return -math.log(probabilities(h)[target])


def plain_kl(h, target, temperature=1.0):
    p, q = probabilities(target, temperature), probabilities(h, temperature)
    return temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def plain_onehot_cosine(h, target):
    return plain_cosine(h, [float(i == target) for i in range(len(h))])


def plain_reverse_kl(h, target, temperature=1.0):
    return plain_kl(target, h, temperature)


def plain_skew_kl(h, target, skew, temperature=1.0):
    p, q = probabilities(target, temperature), probabilities(h, temperature)
    return temperature**2 * sum(a * math.log(a / (skew * a + (1 - skew) * b)) for a, b in zip(p, q, strict=True))


def plain_mse(h, target):
    return sum((a - b) ** 2 for a, b in zip(h, target, strict=True)) / sum(b * b for b in target)


def plain_fisher(h, target):
    """1/2 d^T (diag p - p p^T) d with the matrix written out."""
    p, d = probabilities(target), [a - b for a, b in zip(h, target, strict=True)]
    curvature = [[p[i] * (i == j) - p[i] * p[j] for j in range(len(p))] for i in range(len(p))]
    return 0.5 * sum(d[i] * curvature[i][j] * d[j] for i in range(len(p)) for j in range(len(p)))


def plain_uld(h, target):
    p, q = (sorted(probabilities(logits), reverse=True) for logits in (h, target))
    size = max(len(p), len(q))
    return sum(abs(a - b) for a, b in zip(p + [0.0] * (size - len(p)), q + [0.0] * (size - len(q)), strict=True))


PLAIN = [
    (MSE(), plain_mse),
    (ULD(), plain_uld),
    (Fisher(), plain_fisher),
    (Cosine(), plain_cosine),
    (CrossEntropy(), plain_cross_entropy),
    (ForwardKL(), plain_kl),
    (ForwardKL(temperature=2.5), lambda h, target: plain_kl(h, target, 2.5)),
    (OnehotCosine(), plain_onehot_cosine),
    (ReverseKL(), plain_reverse_kl),
    (ReverseKL(temperature=2.5), lambda h, target: plain_reverse_kl(h, target, 2.5)),
    (SkewKL(), lambda h, target: plain_skew_kl(h, target, 0.1)),
    (SkewKL(skew=0.4, temperature=2.5), lambda h, target: plain_skew_kl(h, target, 0.4, 2.5)),
]


@pytest.mark.parametrize(("loss", "plain"), PLAIN, ids=lambda value: getattr(value, "name", ""))
def test_a_loss_is_its_plain_version(loss, case, plain):
    h, target, mask = case
    tokens = [(i, pos) for i in range(N_ROW) for pos in range(N_POS) if mask[i, pos]]
    costs = [plain(h[token].tolist(), target[token].tolist()) for token in tokens]
    assert len(set(costs)) == len(costs) == len(KEPT)
    assert loss.units(mask) == len(KEPT)
    torch.testing.assert_close(float(loss.total(h, target, mask)), sum(costs), rtol=0, atol=1e-10)
    torch.testing.assert_close(float(loss(h, target, mask)), sum(costs) / len(KEPT), rtol=0, atol=1e-10)


@pytest.mark.parametrize("loss", [Cosine(), OnehotCosine()], ids=lambda loss: loss.name)
@pytest.mark.parametrize("scale", [1e-3, 40.0])
def test_cosines_are_blind_to_norms(loss, case, scale):
    h, target, mask = case
    expected = loss(h, target, mask)
    torch.testing.assert_close(loss(scale * h, target, mask), expected, rtol=1e-9, atol=0)
    if loss.target == "state":
        torch.testing.assert_close(loss(h, scale * target, mask), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("loss", [Cosine(), OnehotCosine()], ids=lambda loss: loss.name)
def test_the_opposite_of_the_target_costs_two(loss, case):
    _, target, mask = case
    assert loss(-reached(loss, target), target, mask) == pytest.approx(2, abs=1e-12)


@pytest.mark.parametrize("loss", [Cosine(), OnehotCosine()], ids=lambda loss: loss.name)
def test_a_state_of_zeros_costs_one_and_has_a_gradient(loss, case):
    h, target, mask = case
    zeros = torch.zeros_like(h).requires_grad_()
    cost = loss(zeros, target, mask)
    assert cost.item() == pytest.approx(1, abs=1e-12)
    assert torch.autograd.grad(cost, zeros)[0].isfinite().all()


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(),
        ForwardKL(),
        ForwardKL(temperature=3.0),
        ReverseKL(),
        SkewKL(),
        JSD(),
        JSD(top_k=3),
        Fisher(),
        ULD(),
    ],
    ids=repr,
)
def test_scoring_rules_are_blind_to_a_shift_of_the_logits(loss, case):
    h, target, mask = case
    torch.testing.assert_close(loss(h + 5.0, target, mask), loss(h, target, mask), rtol=1e-9, atol=1e-12)


def test_the_divergence_is_forward(case):
    # where the teacher is certain of a token that the student does not expect, forward KL has no bound; reverse KL has
    teacher = torch.tensor([[0.0, 0.0]]).double()
    student = torch.tensor([[0.0, 400.0]]).double()
    everywhere = torch.ones(1, dtype=torch.bool)
    assert ForwardKL()(student, teacher, everywhere) == pytest.approx(200 - math.log(2))
    assert ForwardKL()(teacher, student, everywhere) == pytest.approx(math.log(2))


def test_the_reverse_divergence_is_bounded_where_the_forward_one_is_not(case):
    teacher, student = torch.tensor([[0.0, 400.0]]).double(), torch.tensor([[0.0, 0.0]]).double()
    everywhere = torch.ones(1, dtype=torch.bool)
    assert ReverseKL()(teacher, student, everywhere) == pytest.approx(math.log(2))
    assert SkewKL(skew=0.2)(-teacher, teacher, everywhere) == pytest.approx(-math.log(0.2))


def test_the_temperature_keeps_the_size_of_gradients():
    # for large T the gradient tends to (z - z_teacher - their means) / n: Hinton et al. 2015, eq. 4
    h, target = torch.randn(1, WIDTH).double().requires_grad_(), torch.randn(1, WIDTH).double()
    loss = ForwardKL(temperature=1e4)(h, target, torch.ones(1, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(loss, h)
    gap = h.detach() - target
    torch.testing.assert_close(gradient, (gap - gap.mean()) / WIDTH, rtol=1e-3, atol=1e-5)


def test_the_weight_is_left_to_the_method(loss, case):
    h, target, mask = case
    assert torch.equal(loss.replace(weight=3.0)(h, target, mask), loss(h, target, mask))


# plain versions, a sequence at a time


def plain_gram(states):
    """Inner products of the states of a sequence after their mean is taken away, by loops."""
    n, d = len(states), len(states[0])
    mean = [sum(state[c] for state in states) / n for c in range(d)]
    moved = [[state[c] - mean[c] for c in range(d)] for state in states]
    return [[sum(a * b for a, b in zip(x, y, strict=True)) for y in moved] for x in moved]


def frobenius(a, b):
    return sum(x * y for row, other in zip(a, b, strict=True) for x, y in zip(row, other, strict=True))


def plain_geometry(h, target):
    a, b = plain_gram(h), plain_gram(target)
    norms = math.sqrt(frobenius(a, a)), math.sqrt(frobenius(b, b))
    return sum((x / norms[0] - y / norms[1]) ** 2 for r, s in zip(a, b, strict=True) for x, y in zip(r, s, strict=True))


def plain_hsic(a, b):
    """Song et al. 2012, eq. 5: traces and sums of matrices without their diagonals."""
    n = len(a)
    a, b = ([[0.0 if i == j else m[i][j] for j in range(n)] for i in range(n)] for m in (a, b))
    sums = [sum(map(sum, m)) for m in (a, b)]
    chain = sum(a[i][j] * b[j][k] for i in range(n) for j in range(n) for k in range(n))
    return (frobenius(a, b) + sums[0] * sums[1] / ((n - 1) * (n - 2)) - 2 * chain / (n - 2)) / (n * (n - 3))


def plain_cka(h, target):
    a, b = plain_gram(h), plain_gram(target)
    return 1 - plain_hsic(a, b) / math.sqrt(plain_hsic(a, a) * plain_hsic(b, b))


def plain_procrustes(h, target):
    """Half the least squared distance over rotations, which numpy finds from the singular vectors."""
    x, y = (np.array(states) - np.mean(states, axis=0) for states in (h, target))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    left, _, right = np.linalg.svd(y.T @ x)
    return 0.5 * np.linalg.norm(x - y @ left @ right) ** 2


SEQUENCES = [(Geometry(), plain_geometry), (CKA(), plain_cka), (Procrustes(), plain_procrustes)]
each_sequence_loss = pytest.mark.parametrize(("loss", "plain"), SEQUENCES, ids=lambda value: getattr(value, "name", ""))


@each_sequence_loss
def test_a_loss_over_sequences_is_its_plain_version(loss, case, plain):
    h, target, mask = case
    rows = [i for i in range(N_ROW) if mask[i].sum() >= loss.at_least]
    costs = [plain(h[i][mask[i]].tolist(), target[i][mask[i]].tolist()) for i in rows]
    assert len(set(costs)) == len(costs) == loss.units(mask) == 2
    torch.testing.assert_close(float(loss.total(h, target, mask)), sum(costs), rtol=0, atol=1e-10)


@each_sequence_loss
def test_a_shape_is_blind_to_rotation_scale_and_shift(loss, case, plain):
    h, target, mask = case
    rotation, _ = torch.linalg.qr(torch.randn(WIDTH, WIDTH).double())
    moved = 3.7 * h @ rotation + torch.randn(WIDTH).double()
    torch.testing.assert_close(loss(moved, target, mask), loss(h, target, mask), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(loss(h, 0.2 * target @ rotation - 5, mask), loss(h, target, mask), rtol=1e-9, atol=1e-12)
    assert loss(moved, h, mask).abs() < 1e-12
    # and not to what changes the shape
    assert (loss(h * torch.linspace(0.2, 3, WIDTH).double(), target, mask) - loss(h, target, mask)).abs() > 1e-3


@each_sequence_loss
def test_shapes_of_two_widths_compare(loss, case, plain):
    h, target, mask = case
    wider, _ = torch.linalg.qr(torch.randn(WIDTH + 4, WIDTH).double())
    torch.testing.assert_close(loss(h, target @ wider.T, mask), loss(h, target, mask), rtol=1e-9, atol=1e-12)


@each_sequence_loss
def test_states_that_are_one_point_have_a_finite_cost_and_gradient(loss, case, plain):
    h, target, mask = case
    same = torch.ones_like(h).requires_grad_()
    cost = loss(same, target, mask)
    assert cost.isfinite()
    assert torch.autograd.grad(cost, same)[0].isfinite().all()


def test_unrelated_states_in_many_dimensions_look_alike_to_cka_unless_it_is_unbiased():
    h, target = torch.randn(40, 8, 400).double(), torch.randn(40, 8, 400).double()
    everywhere = torch.ones(40, 8, dtype=torch.bool)
    assert Geometry()(h, target, everywhere) < 0.1
    assert CKA()(h, target, everywhere) == pytest.approx(1, abs=0.1)


def test_fisher_is_the_divergence_to_second_order():
    h, target = torch.randn(2, 6, WIDTH).double()
    mask = torch.ones(6, dtype=torch.bool)
    for size in (1e-2, 1e-3):
        near = target + size * h
        fisher, divergence = Fisher()(near, target, mask), ForwardKL()(near, target, mask)
        assert fisher == pytest.approx(float(divergence), rel=10 * size)
        assert fisher != pytest.approx(float(divergence), rel=size / 1000)


def test_fisher_in_the_space_of_states_is_the_same_number():
    head = torch.randn(11, WIDTH).double()
    state, aim = torch.randn(2, 6, WIDTH).double()
    everywhere = torch.ones(6, dtype=torch.bool)
    p = torch.softmax(aim @ head.T, dim=-1)
    curvature = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    metric = head.T @ curvature @ head
    delta = state - aim
    expected = 0.5 * torch.einsum("nd,nde,ne->n", delta, metric, delta).mean()
    torch.testing.assert_close(Fisher()(state @ head.T, aim @ head.T, everywhere), expected, rtol=1e-10, atol=0)


def test_mse_of_a_state_of_zeros_is_one():
    target = torch.randn(6, WIDTH).double()
    assert MSE()(torch.zeros_like(target), target, torch.ones(6, dtype=torch.bool)) == pytest.approx(1, abs=1e-12)
