"""What every semantic map promises, each claim planted and found; the paper's map is its two steps written out."""

import dataclasses
import json

import pytest
import torch
from tiny import N_ROW, tiny
from torch.nn.functional import cosine_similarity

from semalign.basis import LinearMap, SemanticMap, Vocabulary
from semalign.basis.cosine import Cosine
from semalign.basis.identity import Identity
from semalign.basis.input_side import InputSide
from semalign.basis.logit import Logit
from semalign.basis.permuted import Permuted
from semalign.basis.random import Random
from semalign.basis.sparse import Sparse
from semalign.errors import UserError
from semalign.linalg.gram import row_blocks
from semalign.strategy import available, build

N_TOKEN = 48
WIDTHS = [(11, 6), (6, 11), (8, 8)]
EVERY = [basis for basis in (cls() for cls in available("basis").values()) if not basis.uses_states]
"""Those read off the vocabularies; test_state_maps.py has the others."""
ACROSS = [basis for basis in EVERY if basis.recovers != "itself"]
"""Maps between two widths; those that recover 'itself' need one model."""


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def vocabulary(head, embedding=None, gain=None):
    n_token, width = head.shape
    return Vocabulary(
        head=head,
        embedding=random(n_token, width) if embedding is None else embedding,
        gain=1 + 0.3 * random(width) if gain is None else gain,
    )


def any_pair(d_t, d_s, n_token=N_TOKEN):
    return vocabulary(random(n_token, d_t) + 0.4), vocabulary(random(n_token, d_s) - 0.2)


def close(actual, expected, tolerance=2e-6):
    """Equal to float32 rounding, relative to the largest entry."""
    scale = expected.abs().max().item()
    torch.testing.assert_close(actual.double(), expected.double(), rtol=0, atol=tolerance * scale)


def same(one, two):
    """Equal tensors to float32 rounding."""
    for name, tensor in two.tensors().items():
        close(one.tensors()[name], tensor)


def ids(basis):
    return basis.name


# every map


@pytest.mark.parametrize("basis", ACROSS, ids=ids)
@pytest.mark.parametrize(("d_t", "d_s"), WIDTHS)
def test_a_map_goes_from_teacher_to_student_in_float32(basis, d_t, d_s):
    teacher, student = any_pair(d_t, d_s)
    fitted = basis.fit(teacher, student)
    assert fitted.width == d_s
    for tensor in fitted.tensors().values():
        assert tensor.dtype == torch.float32
        assert tensor.isfinite().all()
    assert fitted.n_token == N_TOKEN
    assert fitted.condition >= 1
    assert fitted(random(2, 3, d_t)).shape == (2, 3, d_s)


@pytest.mark.parametrize("basis", EVERY, ids=ids)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_mapped_state_keeps_its_dtype(basis, dtype):
    fitted = basis.fit(*any_pair(8, 8))
    h = random(5, 8).to(dtype)
    assert fitted(h).dtype == dtype
    close(fitted(h), fitted(h.float()), tolerance={torch.bfloat16: 8e-3, torch.float16: 1e-3}.get(dtype, 1e-6))


@pytest.mark.parametrize("basis", EVERY, ids=ids)
def test_weights_of_bfloat16_fit_like_their_float64_values(basis):
    low = [
        dataclasses.replace(side, **{name: getattr(side, name).bfloat16() for name in ("head", "embedding", "gain")})
        for side in any_pair(8, 8)
    ]
    high = [
        dataclasses.replace(side, **{name: getattr(side, name).double() for name in ("head", "embedding", "gain")})
        for side in low
    ]
    same(basis.fit(*low), basis.fit(*high))


@pytest.mark.parametrize("basis", EVERY, ids=ids)
def test_a_fit_is_repeatable_and_touches_nothing(basis):
    teacher, student = any_pair(8, 8)
    before = [x.clone() for side in (teacher, student) for x in (side.head, side.embedding, side.gain)]
    first = basis.fit(teacher, student).tensors()
    torch.rand(7)
    again = basis.fit(teacher, student).tensors()
    assert all(torch.equal(first[name], again[name]) for name in first)
    after = [x for side in (teacher, student) for x in (side.head, side.embedding, side.gain)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("basis", EVERY, ids=ids)
def test_blocks_of_the_vocabulary_change_nothing(basis, monkeypatch):
    teacher, student = any_pair(8, 8)
    whole = basis.fit(teacher, student)
    monkeypatch.setattr(row_blocks, "__defaults__", (16,))
    same(basis.fit(teacher, student), whole)


@pytest.mark.parametrize("basis", [b for b in EVERY if b.name not in ("random", "permuted")], ids=ids)
def test_the_order_of_tokens_is_not_seen(basis):  # the other two draw by the order of rows
    teacher, student = any_pair(8, 8)
    order = torch.randperm(N_TOKEN)
    h = random(5, 8)
    close(basis.fit(teacher.rows(order), student.rows(order))(h), basis.fit(teacher, student)(h))


@pytest.mark.parametrize("basis", EVERY, ids=ids)
def test_norms_are_thrown_away_or_kept(basis):
    fitted = basis.fit(*any_pair(8, 8))
    h = random(5, 8).float()
    assert fitted(h).abs().max() > 1e-3
    close(fitted(3 * h), 3 * fitted(h) if basis.keeps_norm else fitted(h))
    close(fitted(-h), -fitted(h))


@pytest.mark.parametrize("unit", [False, True])
def test_states_of_float64_are_mapped_in_float64(unit):
    matrix, h = torch.randn(3, 5), random(5)
    mapped = LinearMap(matrix=matrix, n_token=7, condition=1.0, unit=unit)(h)
    expected = matrix.double() @ h / (h.norm() if unit else 1.0)
    torch.testing.assert_close(mapped, expected, rtol=1e-13, atol=1e-13)


def test_a_map_of_directions_divides_by_the_norm():
    matrix, h = torch.randn(3, 5), torch.randn(2, 5)
    for unit, scale in ((True, h.norm(dim=-1, keepdim=True)), (False, 1.0)):
        fitted = LinearMap(matrix=matrix, n_token=7, condition=1.0, unit=unit)
        close(fitted(h), torch.stack([matrix @ row for row in h]) / scale)


@pytest.mark.parametrize("basis", EVERY, ids=ids)
@pytest.mark.parametrize("condition", [None, float("inf")])
def test_a_map_comes_back_from_disk(basis, condition):
    fitted = basis.fit(*any_pair(8, 8))
    fitted = fitted if condition is None else dataclasses.replace(fitted, condition=condition)
    about = json.loads(json.dumps(fitted.about(), allow_nan=False))
    again = SemanticMap.load(fitted.tensors(), about)
    assert type(again) is type(fitted)
    assert again.about() == about
    assert (again.n_token, again.condition, again.width) == (fitted.n_token, fitted.condition, fitted.width)
    h = random(3, 8)
    assert torch.equal(again(h), fitted(h))
    assert torch.equal(fitted.to(torch.device("cpu"))(h), fitted(h))


# what a map recovers


def frames(d_t, d_s):
    """Two tight frames with rows of one length that name the same tokens, and the map between their states.

    Rows are the first columns of sign-flipped Hadamard matrices, turned by a rotation on either side.
    """
    hadamard = torch.ones(1, 1, dtype=torch.float64)
    while hadamard.shape[0] < 16:
        hadamard = torch.cat([torch.cat([hadamard, hadamard], 1), torch.cat([hadamard, -hadamard], 1)])
    signs = [torch.randint(0, 2, (16,)).double() * 2 - 1 for _ in range(3)]
    rows = torch.cat([hadamard * sign for sign in signs])
    turn_t, turn_s = torch.linalg.qr(random(d_t, d_t))[0], torch.linalg.qr(random(d_s, d_s))[0]
    truth = turn_s.T @ torch.eye(d_s, d_t, dtype=torch.float64) @ turn_t
    return rows[:, :d_t] @ turn_t, 2.5 * rows[:, :d_s] @ turn_s, truth


@pytest.mark.parametrize("basis", [b for b in EVERY if b.recovers in ("direction", "logits")], ids=ids)
@pytest.mark.parametrize(("d_t", "d_s"), [(11, 6), (6, 11), (7, 7)])
def test_planted_directions_are_found(basis, d_t, d_s):
    head_t, head_s, truth = frames(d_t, d_s)
    fitted = basis.fit(vocabulary(head_t), vocabulary(head_s))
    h = random(20, d_t).float()
    cosines = cosine_similarity(fitted(h).double(), h.double() @ truth.T, dim=-1)
    torch.testing.assert_close(cosines, torch.ones(20, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("basis", [b for b in EVERY if b.recovers == "logits"], ids=ids)
@pytest.mark.parametrize(("d_t", "d_s"), [(11, 6), (6, 11)])
def test_a_planted_map_between_logits_is_found(basis, d_t, d_s):
    truth, head_s = random(d_s, d_t), random(N_TOKEN, d_s)
    fitted = basis.fit(vocabulary(head_s @ truth), vocabulary(head_s))
    close(fitted.matrix, truth)


@pytest.mark.parametrize("basis", [b for b in EVERY if b.recovers in ("itself", "logits")], ids=ids)
def test_one_model_on_both_sides_is_left_alone(basis):
    model = vocabulary(random(N_TOKEN, 9) + 1.0)
    fitted = basis.fit(model, model)
    h = random(4, 9).float()
    close(fitted(h), h)


def top1(basis, head_t, head_s, n=300):
    """Share of random teacher states whose best token is the best of the mapped state, too."""
    h = random(n, head_t.shape[1])
    mapped = basis.fit(vocabulary(head_t), vocabulary(head_s))(h)
    return float(((h @ head_t.T).argmax(-1) == (mapped @ head_s.T).argmax(-1)).double().mean())


@pytest.mark.parametrize("basis", ACROSS, ids=ids)
def test_meaning_survives_where_claimed_and_nowhere_else(basis):
    # the student's logits can be all that the teacher's are: a perfect map agrees everywhere, chance is 1 in 48
    head_s = random(N_TOKEN, 12)
    agreement = top1(basis, head_s @ torch.linalg.qr(random(12, 7))[0], head_s)
    least = {"logits": 1.0, "direction": 0.35, "nothing": 0.0}[basis.recovers]
    most = 0.1 if basis.recovers == "nothing" else 1.0  # a fixed wrong map may favour some tokens above chance
    assert least <= agreement <= most


@pytest.mark.parametrize("basis", [b for b in EVERY if b.recovers == "nothing"], ids=ids)
def test_a_control_knows_nothing_of_the_planted_map(basis):
    # mean over draws of the cosine with the truth is near 0; one that leaked any of it would lean to one side
    cosines = []
    for _ in range(8):
        head_t, head_s, truth = frames(7, 12)
        h = random(40, 7)
        mapped = basis.fit(vocabulary(head_t), vocabulary(head_s))(h)
        cosines.append(cosine_similarity(mapped, h @ truth.T, dim=-1).mean())
    assert torch.stack(cosines).mean().abs() < 0.25
    assert torch.stack(cosines).abs().max() < 0.75


# the paper's map


def pseudo_inverse_rows(side, *, ridge, fold_final_norm, unit_norm, center):
    """The semantic basis as the paper defines it, through a pseudo-inverse in float64.

    The ridge is the classical extra rows sqrt(ridge * mean diagonal) I below W, whose own columns are left out again.
    """
    w = side.head.double()
    if center:
        w = w - w.mean(0)
    if fold_final_norm:
        w = w * side.gain.double()
    extra = (ridge * (w.T @ w).diagonal().mean()).sqrt() * torch.eye(w.shape[1], dtype=torch.float64)
    basis = torch.linalg.pinv(torch.cat([w, extra]).T if ridge else w.T)[: w.shape[0]]
    return basis / basis.norm(dim=1, keepdim=True) if unit_norm else basis


@pytest.mark.parametrize("ridge", [0.0, 1e-6, 0.2])
@pytest.mark.parametrize("fold_final_norm", [False, True])
@pytest.mark.parametrize("unit_norm", [False, True])
@pytest.mark.parametrize("center", [False, True])
def test_the_papers_map_is_its_two_steps(ridge, fold_final_norm, unit_norm, center, monkeypatch):
    monkeypatch.setattr(row_blocks, "__defaults__", (13,))  # 48 rows are three whole blocks and one of nine
    options = {"ridge": ridge, "fold_final_norm": fold_final_norm, "unit_norm": unit_norm, "center": center}
    teacher, student = any_pair(11, 6)
    basis_t, basis_s = (pseudo_inverse_rows(side, **options) for side in (teacher, student))
    fitted = Cosine(**options).fit(teacher, student)
    for h in random(4, 11):
        coefficients = torch.stack([row @ h / h.norm() for row in basis_t])  # with unit rows: cosines
        expected = sum(a * row for a, row in zip(coefficients, basis_s, strict=True))
        close(fitted(h), expected, tolerance=1e-5)


def test_coefficients_of_the_papers_map_are_cosines():
    teacher, student = any_pair(11, 6)
    rows = pseudo_inverse_rows(teacher, ridge=1e-6, fold_final_norm=False, unit_norm=True, center=False)
    h = random(11)
    cosines = cosine_similarity(rows, h.expand_as(rows), dim=-1)
    student_rows = pseudo_inverse_rows(student, ridge=1e-6, fold_final_norm=False, unit_norm=True, center=False)
    close(Cosine().fit(teacher, student)(h), cosines @ student_rows)


@pytest.mark.parametrize("option", ["ridge", "fold_final_norm", "unit_norm", "center"])
def test_every_option_of_the_papers_map_has_an_effect(option):
    teacher, student = any_pair(11, 6)
    other = {"ridge": 0.2, "fold_final_norm": True, "unit_norm": False, "center": True}[option]
    h = random(9, 11)
    plain, changed = Cosine().fit(teacher, student)(h), Cosine(**{option: other}).fit(teacher, student)(h)
    assert cosine_similarity(plain, changed, dim=-1).min() < 0.999


@pytest.mark.parametrize("name", ["cosine", "logit"])
@pytest.mark.parametrize("fold_final_norm", [False, True])
def test_the_condition_is_that_of_the_students_head(name, fold_final_norm):
    teacher, student = any_pair(11, 6)
    fitted = available("basis")[name](fold_final_norm=fold_final_norm).fit(teacher, student)
    head = student.head * student.gain if fold_final_norm else student.head
    assert fitted.condition == pytest.approx(float(torch.linalg.cond(head)), rel=1e-9)


@pytest.mark.parametrize("basis", [Cosine(), Logit(), Sparse()], ids=ids)
def test_a_rank_deficient_head_is_mapped_and_said_so(basis):
    teacher, _ = any_pair(11, 6)
    student = vocabulary(random(N_TOKEN, 4) @ random(4, 6))
    fitted = basis.fit(teacher, student)
    assert fitted.condition == float("inf")
    assert fitted(random(3, 11)).isfinite().all()


@pytest.mark.parametrize("basis", [Cosine(ridge=0), Logit(ridge=0), Sparse(of=Cosine(ridge=0))], ids=ids)
def test_a_ridge_that_had_to_grow_is_said(basis):
    teacher, student = any_pair(11, 6)
    assert basis.fit(teacher, student).about()["ridge_used"] == 0
    head = student.head.clone()
    head[:, 2] = 0
    with pytest.warns(UserWarning, match="singular with ridge 0; 1e-10 was used"):
        fitted = basis.fit(teacher, vocabulary(head))
    assert fitted.about()["ridge_used"] == 1e-10


@pytest.mark.parametrize("basis", [Cosine(), Logit(), Permuted(), InputSide(), Sparse()], ids=ids)
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_damaged_weights_are_refused(basis, side, value):
    pair = any_pair(11, 6)
    pair[side].head[3, 2] = pair[side].embedding[3, 2] = value
    with pytest.raises(UserError, match="damaged"):
        basis.fit(*pair)


# the map that keeps logits


@pytest.mark.parametrize("fold_final_norm", [False, True])
@pytest.mark.parametrize(("d_t", "d_s"), WIDTHS)
def test_the_logit_map_is_the_least_squares_solution(fold_final_norm, d_t, d_s):
    teacher, student = any_pair(d_t, d_s)
    head_t, head_s = (side.head * side.gain if fold_final_norm else side.head for side in (teacher, student))
    fitted = Logit(fold_final_norm=fold_final_norm).fit(teacher, student)
    close(fitted.matrix, torch.linalg.lstsq(head_s, head_t).solution)


def test_no_state_has_logits_closer_to_the_teachers():
    teacher, student = any_pair(11, 6)
    h = random(11)
    mapped = Logit().fit(teacher, student)(h)
    distance = (student.head @ mapped - teacher.head @ h).norm()
    assert distance > 0.1  # the heads do not agree exactly, so there is something to minimise
    for step in (1e-3, 0.1, 1.0):
        for direction in torch.nn.functional.normalize(random(20, 6), dim=-1):
            assert (student.head @ (mapped + step * direction) - teacher.head @ h).norm() > distance


@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_with_the_norms_folded_in_states_before_them_read_alike(family):
    # the norm divides by the root mean square of a state, so logits times that are what a linear map can keep
    teacher, student = tiny(family, width=16, n_layer=1, seed=1), tiny(family, width=24, n_layer=2, seed=2)
    planted = random(24, 16)
    with torch.no_grad():
        folded = (student.head_weight * student.final_gain) @ planted
        teacher.head_weight.copy_(folded / teacher.final_gain)
    h, tokens = random(5, 16), torch.arange(150)
    sides = [Vocabulary.of(model, tokens) for model in (teacher, student)]
    mapped = Logit(fold_final_norm=True).fit(*sides)(h)
    with torch.no_grad():
        theirs, ours = (
            model.read(state) * state.square().mean(-1, keepdim=True).sqrt()
            for model, state in ((teacher, h), (student, mapped))
        )
        close(ours[:, tokens], theirs[:, tokens], tolerance=1e-5)
        plain = Logit().fit(*sides)(h)
        unfolded = student.read(plain) * plain.square().mean(-1, keepdim=True).sqrt()
    assert (unfolded[:, tokens] - theirs[:, tokens]).norm() > 0.1 * theirs[:, tokens].norm()


# only the strongest coefficients


def plain_sparse(teacher, student, h, top_k):
    """Decompose, keep, recompose, token by token."""
    options = {"ridge": 1e-6, "fold_final_norm": False, "unit_norm": True, "center": False}
    rows_t, rows_s = (pseudo_inverse_rows(side, **options) for side in (teacher, student))
    cosines = [float(row @ h / h.norm()) for row in rows_t]
    kept = sorted(range(len(cosines)), key=lambda token: -abs(cosines[token]))[:top_k]
    return sum(cosines[token] * rows_s[token] for token in kept)


@pytest.mark.parametrize("top_k", [1, 5, 47, 48])
@pytest.mark.parametrize("block", [1, 100, 2**24])
def test_a_sparse_map_is_its_plain_version_whatever_the_block(top_k, block, monkeypatch):
    monkeypatch.setattr("semalign.basis.sparse.BLOCK", block)
    teacher, student = any_pair(11, 6)
    h = random(2, 3, 11)
    expected = torch.stack([plain_sparse(teacher, student, row, top_k) for row in h.reshape(6, 11)]).reshape(2, 3, 6)
    close(Sparse(top_k=top_k).fit(teacher, student)(h), expected, tolerance=1e-5)


@pytest.mark.parametrize("top_k", [48, 1000])
def test_all_coefficients_are_the_papers_map(top_k):
    pair, h = any_pair(11, 6), random(7, 11)
    for of in (Cosine(), Cosine(center=True, unit_norm=False)):
        close(Sparse(top_k=top_k, of=of).fit(*pair)(h), of.fit(*pair)(h), tolerance=1e-5)
    part = Sparse(top_k=40).fit(*pair)(h)
    assert (part - Cosine().fit(*pair)(h)).norm() > 0.01 * part.norm()


def test_only_the_papers_map_has_coefficients():
    with pytest.raises(UserError, match="'logit' has no coefficients to keep"):
        Sparse(of=Logit())


# controls


def test_no_map_leaves_the_teachers_width():
    fitted = Identity().fit(*any_pair(11, 6))
    h = random(3, 11)
    assert torch.equal(fitted(h), h)
    assert fitted.width == 11


@pytest.mark.parametrize("of", [Cosine(), Logit(), InputSide()], ids=ids)
def test_a_permuted_map_shuffles_tokens_and_nothing_else(of):
    teacher, student = any_pair(11, 6)
    permuted = [Permuted(of=of, seed=seed).fit(teacher, student).matrix for seed in (0, 1)]
    assert torch.equal(Permuted(of=of).fit(teacher, student).matrix, permuted[0])
    for matrix in (of.fit(teacher, student).matrix, permuted[1]):
        assert (permuted[0] - matrix).norm() > 0.3 * matrix.norm()
    same = vocabulary(random(1, 11).expand(N_TOKEN, 11), random(1, 11).expand(N_TOKEN, 11))
    if of.name != "cosine":  # which inverts the teacher's Gram matrix, here of rank one
        close(Permuted(of=of).fit(same, student).matrix, of.fit(same, student).matrix)


@pytest.mark.parametrize("name", ["identity", "random", "ridge", "procrustes"])
def test_a_map_that_shuffling_cannot_spoil_is_refused(name):
    with pytest.raises(UserError) as caught:
        build("basis", {"name": "permuted", "of": name}, "method.basis")
    assert str(caught.value) == (
        "method.basis: basis 'permuted': 'of' takes a map that is read off the vocabularies, and shuffling tokens does "
        f"nothing to '{name}'; use cosine, logit, input_side or sparse"
    )


def test_a_permuted_map_is_the_map_of_some_order_of_the_teachers_tokens():
    # with an orthonormal head the logit map is W_S^T W_T: on unit vectors as rows it shows the order itself
    teacher, student = vocabulary(torch.eye(12).double()), vocabulary(torch.eye(12).double())
    matrix = Permuted(of=Logit(), seed=3).fit(teacher, student).matrix
    close(matrix.abs().sum(0), torch.ones(12))
    close(matrix.abs().sum(1), torch.ones(12))
    close(matrix.sort(1).values[:, -1], torch.ones(12))
    assert (matrix.diagonal() < 0.5).sum() > 6


def test_the_input_side_is_seen_by_no_other_map():
    teacher, student = any_pair(8, 8)
    other = dataclasses.replace(teacher, embedding=random(N_TOKEN, 8))
    for basis in EVERY:
        h = random(3, 8)
        unseen = torch.equal(basis.fit(teacher, student)(h), basis.fit(other, student)(h))
        assert unseen == (basis.name != "input_side")


def test_the_input_side_map_is_the_product_of_unit_embeddings(monkeypatch):
    monkeypatch.setattr(row_blocks, "__defaults__", (13,))
    teacher, student = any_pair(11, 6)
    expected = torch.zeros(6, 11, dtype=torch.float64)
    for e_t, e_s in zip(teacher.embedding, student.embedding, strict=True):
        expected += torch.outer(e_s / e_s.norm(), e_t / e_t.norm())
    close(InputSide().fit(teacher, student).matrix, expected)


def test_random_maps_depend_on_the_seed_and_not_on_the_weights():
    one, two = any_pair(11, 6), any_pair(11, 6)
    assert torch.equal(Random().fit(*one).matrix, Random().fit(*two).matrix)
    assert not torch.equal(Random().fit(*one).matrix, Random(seed=1).fit(*one).matrix)


@pytest.mark.parametrize(("d", "n_token"), [(20, 60), (40, 60)])
def test_random_bases_reconstruct_by_the_law_of_large_numbers(d, n_token):
    # cos = 1 / sqrt(1 + d / n_token): method.md's warning that reconstruction proves nothing
    model = vocabulary(random(n_token, d))
    h = random(200, d)
    cosines = [cosine_similarity(Random(seed=seed).fit(model, model)(h), h, dim=-1).mean() for seed in range(5)]
    assert float(torch.stack(cosines).mean()) == pytest.approx((1 + d / n_token) ** -0.5, abs=0.015)


def test_random_bases_of_two_models_share_nothing():
    model, twin = vocabulary(random(60, 20)), vocabulary(random(60, 20))
    h = random(200, 20)
    cosines = [cosine_similarity(Random(seed=seed).fit(model, twin)(h), h, dim=-1).mean() for seed in range(10)]
    assert torch.stack(cosines).mean().abs() < 0.1


# vocabularies


def test_padded_rows_never_enter():
    model = tiny("llama", width=16, n_layer=1)
    assert model.n_token < N_ROW
    tokens = torch.arange(model.n_token)
    with torch.no_grad():
        for weight in (model.head_weight, model.embedding_weight):
            weight[model.n_token :] = float("nan")
    student = vocabulary(random(model.n_token, 16))
    for basis in EVERY:
        fitted = basis.fit(Vocabulary.of(model, tokens), student)
        assert fitted.n_token == model.n_token
        h = random(3, 16)
        assert fitted(h).isfinite().all()
        assert basis.fit(student, Vocabulary.of(model, tokens))(h).isfinite().all()


@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_a_vocabulary_is_the_models_rows_of_its_tokens(family):
    model = tiny(family, width=16, n_layer=1)
    tokens = torch.tensor([5, 3, 17, 200])
    side = Vocabulary.of(model, tokens)
    weight = model.module.model.norm.weight
    assert torch.equal(side.head, model.module.lm_head.weight[tokens])
    assert torch.equal(side.embedding, model.module.model.embed_tokens.weight[tokens])
    assert torch.equal(side.gain, 1 + weight if family == "gemma" else weight)
    assert side.width == 16
    assert not any(x.requires_grad for x in (side.head, side.embedding, side.gain))
    assert torch.equal(side.rows(torch.tensor([2, 0])).head, side.head[[2, 0]])
    assert torch.equal(side.rows(torch.tensor([2, 0])).embedding, side.embedding[[2, 0]])
