"""Any two models: families, tokenizers, depths, widths, heads and norms that differ, from rows to a trained student."""

import copy
from dataclasses import replace

import pytest
import torch
from tiny import tiny
from trained import trained

from semalign.basis.identity import Identity
from semalign.basis.logit import Logit
from semalign.basis.ridge import Ridge
from semalign.data import Row, batches, encode_pair
from semalign.errors import UserError
from semalign.losses.cka import CKA
from semalign.losses.cosine import Cosine
from semalign.losses.cross_entropy import CrossEntropy
from semalign.losses.kl import ForwardKL
from semalign.losses.uld import ULD
from semalign.methods import Given, MethodContext
from semalign.methods.hidden_kd import HiddenKD
from semalign.methods.logit_kd import LogitKD
from semalign.methods.semalign import SemAlign
from semalign.methods.teacher import OnlineTeacher
from semalign.models import shared_tokens
from semalign.models.first_token import first_tokens
from semalign.pairing import Pair
from semalign.pairing.depth import Depth
from semalign.pairing.monotone_cka import MonotoneCKA
from semalign.tokenizers.pieces import token_bytes
from semalign.training import LoraOptions, TrainingOptions

TEXTS = [
    "12 or 345 apples",
    "the lazy dog sleeps",
    "print(add(1, 2))",
    "a café, a façade",
    "the end of the song",
    "2019!",
]
ROWS = [Row(str(i), "t", f"Say {text} again: ", text) for i, text in enumerate(TEXTS)]
OPTIONS = TrainingOptions(epochs=8, batch_size=6, learning_rate=0.001)
SCHEMES = ("byte_level", "sentencepiece_llama")
SMALL, LARGE = {"n_layer": 2, "width": 16, "n_head": 2}, {"n_layer": 4, "width": 24}
SHALLOW, DEEP = {"n_layer": 2, "width": 24}, {"n_layer": 4, "width": 16, "n_head": 2}
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop", "hidden_dropout", "attention_dropout", "dropout")
PAIRS = {
    "llama to gpt2: GQA to MHA": (("llama", LARGE), ("gpt2", SMALL)),
    "gpt2 to llama: MHA to GQA": (("gpt2", LARGE), ("llama", SMALL | {"num_key_value_heads": 1})),
    "qwen2 to smollm3: tied to untied head": (("qwen2", LARGE), ("smollm3", SMALL)),
    "smollm3 to qwen2: untied to tied head": (("smollm3", LARGE), ("qwen2", SMALL)),
    "gemma3 to llama: soft cap, norms around sub-layers": (("gemma3", LARGE), ("llama", SMALL)),
    "gemma2 to gemma: other gains": (("gemma2", LARGE), ("gemma", SMALL)),
    "olmo2 to opt: norms after and before": (("olmo2", LARGE), ("opt", SMALL)),
    "gpt_neox to phi3: parallel to sequential": (("gpt_neox", LARGE), ("phi3", SMALL)),
    "granite to mistral: scaled residuals, sliding window": (("granite", LARGE), ("mistral", SMALL)),
    "mixtral to llama: experts": (("mixtral", LARGE), ("llama", SMALL)),
    "qwen3_moe to qwen3: experts, head norms": (("qwen3_moe", LARGE), ("qwen3", SMALL)),
    "qwen2 to llama: fewer layers": (
        ("qwen2", {"n_layer": 2, "width": 24}),
        ("llama", {"n_layer": 4, "width": 16, "n_head": 2}),
    ),
    "llama to olmo2: narrower": (
        ("llama", {"n_layer": 3, "width": 16, "n_head": 2}),
        ("olmo2", {"n_layer": 2, "width": 24}),
    ),
}
METHODS = {
    "ridge": SemAlign(
        pairing=Depth(),
        basis=Ridge(),
        site="block_out",
        loss=Cosine(),
        outputs=(CrossEntropy(), ForwardKL()),
        train="all",
    ),
    "logit": SemAlign(basis=Logit(), outputs=(CrossEntropy(),), site="block_out", start="principal"),
    "identity, cka": SemAlign(
        pairing=MonotoneCKA(site="mlp_out"),
        basis=Identity(),
        loss=CKA(),
        site="block_delta",
        outputs=(ForwardKL(),),
    ),
    "logit_kd": LogitKD(),
    "logit_kd, uld": LogitKD(outputs=(CrossEntropy(), ULD())),
    "hidden_kd": HiddenKD(),
}


def pair_of(sides, schemes):
    models = []
    for (family, sizes), scheme in zip(sides, schemes, strict=True):
        tokenizer = copy.deepcopy(trained(scheme))
        still = dict.fromkeys(DROPOUTS, 0.0)  # so that one step's loss can be compared with the next
        model = tiny(family, n_row=len(tokenizer) + 5, dtype=torch.float32, **sizes, **still)
        models.append(replace(model, tokenizer=tokenizer))
    return models


def context_of(teacher, student, spans="last"):
    rows = encode_pair(ROWS, student.tokenizer, teacher.tokenizer, template="plain", max_length=60, spans=spans)
    context = MethodContext(
        teacher=teacher,
        student=student,
        tokens=shared_tokens(teacher, student),
        extract=list(batches(rows[:3], 2, 0)),
        calibration=list(batches(rows, 4, 0)),
        seed=0,
        lora=LoraOptions(rank=2, dropout=0),
    )
    return context, rows


def fit(method, context, rows, folder):
    student = context.student
    before = {name: p.detach().clone() for name, p in student.module.named_parameters()}
    method.check(context.teacher, student, OPTIONS.n_step(len(rows)))
    plan = method.plan(context)
    adapter = method.adapt(context, plan, context.lora)
    given = Given(rows={"train": rows}, options=OPTIONS, pad_id=0, folder=folder)
    history = method.fit(context, plan, adapter, given)
    for name, p in student.module.named_parameters():
        own = name.replace("base_model.model.", "").replace(".base_layer", "")
        if own in before and "lora_" not in name:
            assert torch.equal(p, before[own]), name
    return [entry["loss"] for entry in history.entries]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
@pytest.mark.parametrize("sides", PAIRS.values(), ids=PAIRS.keys())
def test_every_pair_trains_and_the_loss_falls(sides, method, tmp_path):
    teacher, student = pair_of(sides, SCHEMES)
    context, rows = context_of(teacher, student)
    losses = fit(method, context, rows, tmp_path)
    assert min(losses[1:]) < losses[0]


def test_a_pair_with_one_tokenizer_is_followed_everywhere_and_bit_for_bit_as_before():
    """The same rows as one tokenizer's, and as those of two that happen to be the same, give the same signals."""
    teacher, student = pair_of(PAIRS["llama to gpt2: GQA to MHA"], ("byte_level", "byte_level"))
    context, rows = context_of(teacher, student)
    assert context.tokens.matched is None
    alone = [replace(row, teacher=None) for row in rows]
    one, two = next(batches(alone, 6, 0)), next(batches(rows, 6, 0))
    assert torch.equal(one.followed, two.followed)
    source = OnlineTeacher(teacher, "block_out", None, context.tokens.teacher)
    pairs = [Pair(student=0, teacher=((1, 1.0),), reason="")]
    heard = [source(batch, pairs, batch.mask) for batch in (one, two)]
    for signals in heard:
        assert torch.equal(signals.states[0][one.mask], heard[0].states[0][one.mask])
        assert torch.equal(signals.logits(slice(0, 3)), heard[0].logits(slice(0, 3)))


@torch.no_grad()
def real_logits(teacher, student, batch):
    """Of the student and of the teacher where it is followed, each over its own real tokens."""
    ours = student.module(batch.input_ids, attention_mask=batch.attention_mask).logits[batch.followed]
    own = batch.of_teacher
    theirs = teacher.module(own.input_ids, attention_mask=own.attention_mask).logits
    return ours[:, : len(student.tokenizer)], batch.at_student(theirs)[batch.followed][:, : len(teacher.tokenizer)]


def test_uld_reads_all_real_tokens_of_each_side():
    teacher, student = pair_of(PAIRS["llama to gpt2: GQA to MHA"], SCHEMES)
    context, rows = context_of(teacher, student)
    method = LogitKD(outputs=(ULD(),))
    batch = next(batches(rows, 6, 0))
    step = method.step(context, method.plan(context))
    loss, _, _ = step(batch, step.units(batch))
    real = real_logits(teacher, student, batch)
    sides = [z.softmax(-1).sort(-1, descending=True).values for z in real]
    wide = max(side.shape[1] for side in sides)
    p, q = (torch.nn.functional.pad(side, (0, wide - side.shape[1])) for side in sides)
    assert loss.item() == pytest.approx(float((p - q).abs().sum(-1).mean()), rel=1e-5)


def test_first_tokens_move_the_teachers_probability_to_the_students_tokens():
    teacher, student = pair_of(PAIRS["llama to gpt2: GQA to MHA"], SCHEMES)
    context, rows = context_of(teacher, student)
    batch = next(batches(rows, 6, 0))
    method = LogitKD(outputs=(ForwardKL(vocabulary="first_token"),))
    step = method.step(context, method.plan(context))
    loss, _, _ = step(batch, step.units(batch))
    ours, theirs = real_logits(teacher, student, batch)
    p = theirs.double().softmax(-1)
    moved = torch.zeros(len(p), len(student.tokenizer), dtype=torch.float64)
    for token, first in enumerate(first_tokens(teacher, student, context.tokens).tolist()):
        if first >= 0:
            moved[:, first] += p[:, token]
    moved /= moved.sum(-1, keepdim=True)
    q = ours.double().log_softmax(-1)
    expected = torch.xlogy(moved, moved).sum(-1) - (moved * q).sum(-1)
    assert loss.item() == pytest.approx(float(expected.mean()), rel=1e-4)


@pytest.mark.parametrize("schemes", [SCHEMES, SCHEMES[::-1]])
def test_every_token_begins_with_its_first_token(schemes):
    teacher, student = pair_of(PAIRS["llama to gpt2: GQA to MHA"], schemes)
    tokens = shared_tokens(teacher, student)
    first = first_tokens(teacher, student, tokens)
    meant_t, meant_s = token_bytes(teacher.tokenizer), token_bytes(student.tokenizer)
    assert torch.equal(first[tokens.teacher], tokens.student)
    found = [(t, s) for t, s in enumerate(first.tolist()) if s >= 0 and meant_t[t] is not None]
    assert len(found) > len(tokens)  # more than both have
    assert all(meant_t[t].startswith(meant_s[s]) for t, s in found)


def test_first_tokens_of_one_tokenizer_have_no_effect_and_are_refused():
    teacher, student = pair_of(PAIRS["llama to gpt2: GQA to MHA"], ("byte_level", "byte_level"))
    with pytest.raises(UserError, match="first_token' has no effect"):
        LogitKD(outputs=(ForwardKL(vocabulary="first_token"),)).check(teacher, student, 4)
