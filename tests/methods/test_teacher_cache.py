"""A training from the teacher cache is the training with the teacher beside it; what the cache holds, and refuses."""

import dataclasses

import pytest
import torch
from pair import PAD, STUDENT, TEACHER, adapted_step, make_context, make_examples, make_model, trainable

from semalign.data import collate
from semalign.data.tokens import TeacherExample
from semalign.errors import UserError
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.fisher import Fisher
from semalign.losses.geometry import Geometry
from semalign.losses.jsd import JSD
from semalign.losses.kl import ForwardKL
from semalign.losses.mse import MSE
from semalign.losses.uld import ULD
from semalign.methods import teacher_cache
from semalign.methods.cache_options import CacheOptions
from semalign.methods.gkd import GKD
from semalign.methods.hidden_kd import HiddenKD
from semalign.methods.logit_kd import LogitKD
from semalign.methods.positions import positions_of
from semalign.methods.row_teacher import RowTeacher
from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.methods.teacher_cache import TeacherCache
from semalign.pairing.depth import Depth
from semalign.pairing.manual import Manual
from semalign.schedules.frontier import Frontier
from semalign.training import TrainingOptions, train

OPTIONS = TrainingOptions(epochs=3, batch_size=4, micro_batch_size=3, learning_rate=0.02, diagnose_every=4)
METHODS = {
    "semalign": SemAlign(),
    "semalign lengths": SemAlign(loss=MSE(), norm="teacher", pairing=Depth(), outputs=(CrossEntropy(),)),
    "semalign student's lengths": SemAlign(loss=MSE(), norm="student", pairing=Depth()),
    "semalign fisher": SemAlign(site="block_out", loss=Fisher(), pairing=Depth(), outputs=(ForwardKL(),)),
    "semalign everywhere": SemAlign(loss=Geometry(), pairing=Depth(), outputs=(ForwardKL(),), positions="all"),
    "semalign frontier": SemAlign(
        site="block_delta", loss=Geometry(), pairing=Depth(), outputs=(ForwardKL(),), schedule=Frontier(), balance=True
    ),
    "logit_kd": LogitKD(outputs=(CrossEntropy(), ForwardKL(temperature=2.0))),
    "hidden_kd": HiddenKD(positions="all"),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def single_context(**changes):
    """As precise as real models are, so that float32 holds all of it."""
    teacher = make_model(**(TEACHER | changes), dtype=torch.float32)
    return make_context(teacher=teacher, student=make_model(**STUDENT, dtype=torch.float32))


def in_other_tokens(rows, *, first_id=4):
    """Rows whose teacher reads one token more before each of them, and has no state for every third position."""
    found = []
    for row in rows:
        theirs = dataclasses.replace(row, input_ids=[first_id, *row.input_ids], n_prompt=row.n_prompt + 1)
        last = [-1 if i % 3 == 2 else i + 1 for i in range(len(row.input_ids))]
        first = [-1 if i < 0 else i - 1 for i in last]
        found.append(dataclasses.replace(row, teacher=TeacherExample(theirs, first, last)))
    return found


def trained(method, folder, signals=lambda step: step.signals, *, dropout=0.1, rows=None):
    """History and adapters of a training that follows what `signals` makes of its step."""
    _, _, step = adapted_step(method, single_context(), dropout=dropout)
    step.signals = signals(step)
    history = train(step, rows or make_examples(7), OPTIONS, pad_id=PAD, seed=1, folder=folder)
    return history, {name: p.detach().clone() for name, p in trainable(step).items()}


def filled(step, folder, *, n=7, rows=None, **options):
    cache = TeacherCache.of(step, CacheOptions(**options), folder)
    cache.fill(rows or make_examples(n))
    return cache


def losses(history):
    return [entry["loss"] for entry in history.entries]


@each_method
def test_from_float32_a_training_is_bit_for_bit_that_of_a_teacher_that_reads_each_row_alone(method, tmp_path):
    online, adapters = trained(method, tmp_path / "a", lambda step: RowTeacher(step.signals))
    cached, again = trained(method, tmp_path / "b", lambda step: filled(step, tmp_path / "cache", states="float32"))
    for a, b in zip(online.entries, cached.entries, strict=True):
        assert {**a, "tokens_per_second": 0} == {**b, "tokens_per_second": 0}
    assert all(torch.equal(adapters[name], again[name]) for name in adapters)


@pytest.mark.parametrize("method", [METHODS[name] for name in ("semalign", "semalign everywhere", "logit_kd")])
def test_from_any_precision_the_losses_are_those_of_the_teacher_beside_it(method, tmp_path):
    online, adapters = trained(method, tmp_path / "online")
    # rounding in other batches; the project's bound; a 254th of a token's largest coordinate
    for states, relative in (("float32", 1e-4), ("bfloat16", 1e-2), ("int8", 3e-2)):
        cached, again = trained(
            method,
            tmp_path / states,
            lambda step, states=states: filled(step, tmp_path / "cache", states=states),
        )
        assert losses(cached) == pytest.approx(losses(online), rel=relative), states
        assert any((adapters[name] != again[name]).any() for name in adapters) or states == "float32"


def test_the_teacher_reads_each_row_once_and_never_again(tmp_path):
    context = single_context()
    _, _, step = adapted_step(SemAlign(), context)
    read = []
    context.teacher.module.base_model.register_forward_pre_hook(
        lambda _module, _args, kwargs: read.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    rows, online = make_examples(7), step.signals
    step.signals = filled(step, tmp_path)
    assert read == [(1, len(row.input_ids)) for row in rows]
    train(step, rows, OPTIONS, pad_id=PAD, seed=1, folder=tmp_path / "train")
    step.signals = online
    again = filled(step, tmp_path)
    assert len(read) == 7
    assert again.missing(make_examples(9)) == make_examples(9)[7:]


@pytest.mark.parametrize("output", [ForwardKL(top_k=4, temperature=2.0), JSD(top_k=3)])
def test_the_likeliest_tokens_are_enough_for_losses_that_look_at_no_more(output, tmp_path):
    method = LogitKD(outputs=(output,))
    online, adapters = trained(method, tmp_path / "online", lambda step: RowTeacher(step.signals))
    cached, again = trained(method, tmp_path / "cached", lambda step: filled(step, tmp_path / "cache", top_k=4))
    assert losses(cached) == pytest.approx(losses(online), rel=1e-5)
    for name, value in adapters.items():
        torch.testing.assert_close(again[name], value, rtol=1e-3, atol=1e-5)


def test_losses_that_look_at_more_than_is_kept_are_refused(tmp_path):
    for outputs, words in (
        ((ForwardKL(),), "at all tokens"),
        ((ForwardKL(top_k=4), JSD(top_k=9)), "at 9"),
        ((Fisher(),), "at all tokens"),
        ((ULD(),), "at all tokens"),
    ):
        step = LogitKD(outputs=outputs).step(single_context(), LogitKD().plan(single_context()))
        with pytest.raises(UserError, match=rf"^cache: 'top_k' keeps the teacher's 8 likeliest .* looks {words};"):
            TeacherCache.of(step, CacheOptions(top_k=8), tmp_path)


def test_only_positions_that_a_loss_looks_at_are_kept(tmp_path):
    rows, sizes = make_examples(7), {}
    for positions in ("answer", "all"):
        method = SemAlign(pairing=Depth(), positions=positions, outputs=(ForwardKL(),))
        cache = filled(adapted_step(method, single_context())[2], tmp_path, states="float32")
        on_disk = sum(path.stat().st_size for path in cache.folder.glob("*.safetensors"))
        header = 2000  # of one file
        assert cache.n_bytes(rows) < on_disk < cache.n_bytes(rows) + header
        n_position = sum(int(positions_of(collate([row], PAD), positions).sum()) for row in rows)
        sizes[positions] = cache.n_bytes(rows) - n_position * (3 * 16 + 24) * 4
    assert sizes == {"answer": 7 * (8 + 4 + 4 * 4), "all": 7 * (8 + 4 + 4 * 4)}


def test_a_state_of_int8_takes_its_width_and_eight_bytes_at_most(tmp_path):
    rows = make_examples(9)
    cache = filled(adapted_step(SemAlign(), single_context())[2], tmp_path, states="int8")
    assert cache.n_bytes(rows) <= sum(row.n_supervised for row in rows) * (STUDENT["width"] + 8)


def test_what_the_signals_depend_on_has_a_folder_of_its_own(tmp_path):
    pairing = Manual(pairs=((1, 3), (2, 4)))
    base, options = SemAlign(pairing=pairing, loss=MSE(), norm="teacher"), CacheOptions()

    def folder(method=base, options=options, context=None):
        context = context or single_context()
        return TeacherCache.of(method.step(context, method.plan(context)), options, tmp_path).folder

    touched = single_context()
    touched.teacher.module.get_parameter("model.layers.0.mlp.down_proj.weight").data[3, 5] += 1e-6
    other_map = single_context()
    other_map.student.module.get_parameter("lm_head.weight").data[3, 5] += 1.0
    others = [
        folder(context=touched),
        folder(context=other_map),
        folder(options=CacheOptions(states="int8")),
        *(
            folder(base.replace(**change))
            for change in (
                {"site": "block_out"},
                {"norm": "student"},
                {"positions": "all"},
                {"pairing": Manual(pairs=((1, 3), (2, 3)))},
                {"outputs": (ForwardKL(),)},
            )
        ),
        folder(base.replace(outputs=(ForwardKL(top_k=2),)), CacheOptions(top_k=2)),
        folder(base.replace(outputs=(ForwardKL(top_k=2),)), CacheOptions(top_k=3)),
    ]
    assert len({folder(), *others}) == 1 + len(others)
    # weights of terms, the temperature and how a training goes on make no difference
    assert folder(base.replace(outputs=(ForwardKL(temperature=3.0, weight=2.0),))) in others
    assert folder(base.replace(balance=True, train="all")) == folder()


def test_rows_go_by_their_content(tmp_path):
    _, _, step = adapted_step(SemAlign(), single_context())
    cache, rows = filled(step, tmp_path), make_examples(7)
    renamed = [dataclasses.replace(row, id="x", task="y") for row in rows]
    assert cache.missing([*renamed, *reversed(rows)]) == []
    moved = dataclasses.replace(rows[3], n_prompt=rows[3].n_prompt - 1)
    longer = dataclasses.replace(rows[4], input_ids=[*rows[4].input_ids, 5])
    assert cache.missing([moved, longer, moved]) == [moved, longer]


def test_a_teacher_with_other_tokens_is_cached_as_it_reads_them(tmp_path):
    rows = in_other_tokens(make_examples(7))
    method = SemAlign(pairing=Depth(), outputs=(ForwardKL(), ULD()), positions="all")
    caches = []

    def cached(step):
        caches.append(filled(step, tmp_path / "cache", rows=rows, states="float32"))
        return caches[0]

    alone, adapters = trained(method, tmp_path / "a", lambda step: RowTeacher(step.signals), rows=rows)
    history, again = trained(method, tmp_path / "b", cached, rows=rows)
    beside, _ = trained(method, tmp_path / "c", rows=rows)
    assert losses(history) == losses(alone)
    assert all(torch.equal(adapters[name], again[name]) for name in adapters)
    assert losses(history) == pytest.approx(losses(beside), rel=1e-4)
    assert caches[0].missing(rows) == []
    others = (in_other_tokens(make_examples(7), first_id=5), make_examples(7))
    assert [len(caches[0].missing(other)) for other in others] == [7, 7]


def test_a_row_that_is_not_there_is_named(tmp_path):
    _, _, step = adapted_step(SemAlign(), single_context())
    step.signals = filled(step, tmp_path, n=4)
    batch = collate(make_examples(6), PAD)
    with pytest.raises(UserError, match=r"row 'row4' is not in the teacher cache"):
        step(batch, step.units(batch))


def test_a_flipped_byte_stops_the_training_and_its_rows_are_computed_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_cache, "SHARD_ROWS", 3)
    _, _, step = adapted_step(SemAlign(), single_context())
    online, rows = step.signals, make_examples(7)
    cache = filled(step, tmp_path)
    path = sorted(cache.folder.glob("*.safetensors"))[1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    step.signals = cache
    with pytest.raises(UserError, match=rf"^{path}: damaged .* delete this file and run again"):
        train(step, rows, OPTIONS, pad_id=PAD, seed=1, folder=tmp_path / "train")
    step.signals = online
    again = TeacherCache.of(step, CacheOptions(), tmp_path)
    assert again.missing(rows) == []
    assert again.repair(rows) == [path]
    assert 0 < len(again.missing(rows)) <= 3
    again.fill(rows)
    assert path.read_bytes() == whole


def test_a_limit_is_kept_before_anything_is_written(tmp_path, monkeypatch):
    _, _, step = adapted_step(SemAlign(), single_context())
    rows = make_examples(7)
    size = TeacherCache.of(step, CacheOptions(), tmp_path).n_bytes(rows)
    TeacherCache.of(step, CacheOptions(limit_gb=size / 1e9), tmp_path).refuse_size(rows)
    with pytest.raises(UserError, match=r"^cache: 0.00 MB for 7 rows \(32 bytes a position\), but 'limit_gb' is 1e-06"):
        TeacherCache.of(step, CacheOptions(limit_gb=1e-6), tmp_path).fill(rows)
    monkeypatch.setattr(teacher_cache, "_free", lambda folder: 50_000_000 + size - 1)
    with pytest.raises(UserError, match=r"the teacher cache takes 0.00 MB, but the disk has 50.00 MB left"):
        TeacherCache.of(step, CacheOptions(), tmp_path).fill(rows)
    assert not list(tmp_path.iterdir())


def test_a_step_without_a_teacher_has_nothing_to_cache(tmp_path):
    context = single_context()
    with pytest.raises(UserError, match="this one has none"):
        TeacherCache.of(SFT().step(context, SFT().plan(context)), CacheOptions(), tmp_path)


def test_a_method_that_samples_its_answers_is_not_cacheable():
    assert not GKD().cacheable
    assert not SFT().cacheable
