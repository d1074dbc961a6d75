"""On-policy distillation: what is sampled, which tokens count, and that seed and step alone decide it."""

from dataclasses import replace

import pytest
import torch
from pair import EOS, N_ROW, PAD, STUDENT, adapted_step, make_context, make_examples, make_model, trainable
from torch.nn.functional import log_softmax

from semalign.data import collate
from semalign.errors import UserError
from semalign.losses.cosine import Cosine
from semalign.losses.jsd import JSD
from semalign.losses.kl import ForwardKL
from semalign.methods.gkd import GKD
from semalign.methods.logit_kd import LogitKD
from semalign.methods.on_policy import sample_answers
from semalign.training import TrainingOptions, train

OPTIONS = TrainingOptions(epochs=3, batch_size=4, micro_batch_size=3, learning_rate=0.02, checkpoint_every=1)
ROWS = make_examples(7)
ALWAYS = GKD(on_policy=1.0)


def sampled(student, rows, *, tokens=None, temperature=1.0, max_new_tokens=9, seeds=None):
    return sample_answers(
        student,
        rows,
        tokens=torch.arange(N_ROW) if tokens is None else tokens,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        seeds=range(len(rows)) if seeds is None else seeds,
    )


def trained(method, folder, *, dropout=0.0, options=OPTIONS, advance=lambda _done: None):
    _, _, step = adapted_step(method, make_context(), dropout=dropout)
    history = train(step, ROWS, options, pad_id=PAD, seed=2, folder=folder, advance=advance)
    return history, trainable(step)


# what is sampled


def shares(answers):
    """How often each token comes first."""
    counts = torch.zeros(N_ROW, dtype=torch.float64)
    for row in answers:
        counts[row.input_ids[row.n_prompt]] += 1
    return counts / len(answers)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_answers_come_from_the_adapted_student(temperature):
    """4,000 first tokens: their shares are within the noise of the student's softmax, and not of the bare student's."""
    n, row = 4000, ROWS[4]
    context = make_context()
    bare = context.student.module(torch.tensor([row.input_ids[: row.n_prompt]])).logits[0, -1]
    _, _, step = adapted_step(ALWAYS, context)
    with torch.no_grad():
        for parameter in trainable(step).values():
            parameter.mul_(4)
        now = context.student.module(torch.tensor([row.input_ids[: row.n_prompt]])).logits[0, -1]
    found = shares(sampled(context.student, [row] * n, temperature=temperature, max_new_tokens=1))
    expected, other = (torch.softmax(z / temperature, -1) for z in (now, bare))
    noise = (expected / n).sqrt().sum() / 2  # the total variation of n draws is less than this on average
    assert (found - expected).abs().sum() / 2 < noise
    assert (found - other).abs().sum() / 2 > 3 * noise


def test_an_answer_does_not_depend_on_the_rows_beside_it():
    """Prompts of other lengths are padding on the left; each row draws from its own stream."""
    context = make_context()
    adapted_step(ALWAYS, context)
    together = sampled(context.student, ROWS)
    assert len({row.n_prompt for row in ROWS}) > 3
    for i, row in enumerate(ROWS):
        (alone,) = sampled(context.student, [row], seeds=[i])
        assert alone == together[i]
    assert len({tuple(row.input_ids[row.n_prompt :]) for row in together}) == len(ROWS)


def test_prompts_stay_and_answers_end_with_their_first_end_token():
    context = make_context()
    adapted_step(ALWAYS, context)
    with torch.no_grad():  # end tokens early in some answers, none in others
        context.student.head_weight[EOS] += 0.3 * context.student.head_weight[7]
    rows = [replace(row, truncated=i == 3) for i, row in enumerate(make_examples(24))]
    answers = sampled(context.student, rows, max_new_tokens=12, temperature=2.0)
    for row, answer in zip(rows, answers, strict=True):
        assert answer.input_ids[: row.n_prompt] == row.input_ids[: row.n_prompt]
        assert (answer.id, answer.task, answer.n_prompt) == (row.id, row.task, row.n_prompt)
        written = answer.input_ids[row.n_prompt :]
        assert EOS not in written[:-1]
        assert answer.truncated == (written[-1] != EOS)
        assert len(written) == 12 or not answer.truncated
    lengths = {answer.n_supervised for answer in answers}
    assert min(lengths) < 6
    assert max(lengths) == 12
    assert {answer.truncated for answer in answers} == {True, False}


def test_what_ends_a_given_answer_ends_a_sampled_one():
    """A chat template may close with another token than the model's end token."""
    context = make_context()
    adapted_step(ALWAYS, context)
    closed = [replace(row, input_ids=[*row.input_ids[:-1], 9]) for row in ROWS]
    answers = sampled(context.student, closed * 8, max_new_tokens=30, temperature=3.0)
    last = {answer.input_ids[-1] for answer in answers if not answer.truncated}
    assert last == {9, EOS}
    assert not any(token in (9, EOS) for a in answers for token in a.input_ids[a.n_prompt : -1])


def test_only_tokens_of_both_models_are_written():
    context = make_context()
    tokens = torch.arange(2, 40, 3)
    answers = sampled(context.student, ROWS * 3, tokens=tokens, temperature=5.0)
    assert {token for row in answers for token in row.input_ids[row.n_prompt :]} <= set(tokens.tolist())


def test_sampling_leaves_modes_random_numbers_and_gradients_as_they_were():
    context = make_context()
    _, _, step = adapted_step(ALWAYS, context, dropout=0.5)
    calm = sampled(context.student, ROWS)
    step.train()
    context.student.blocks[1].eval()
    modes, state = [part.training for part in step.modules()], torch.get_rng_state()
    assert sampled(context.student, ROWS) == calm  # no dropout
    assert [part.training for part in step.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in step.parameters())


# the loss


def test_the_loss_is_the_divergence_on_the_sampled_tokens():
    """A plain loop over rows, each read alone: prompts and what comes behind an end token do not count."""
    context = make_context()
    _, _, step = adapted_step(GKD(on_policy=1.0, loss=JSD(beta=0.3)), context)
    answers = step.rewrite(ROWS, 5)
    assert len({row.n_supervised for row in answers}) > 1
    batch = collate(answers, PAD)
    units = step.units(batch)
    assert units == {"jsd": sum(row.n_supervised for row in answers)}
    value, _, _ = step(batch, units)
    costs = []
    for row in answers:
        ids = torch.tensor([row.input_ids])
        teacher, student = (log_softmax(m.module(ids).logits[0], -1) for m in (context.teacher, context.student))
        for pos in range(row.n_prompt - 1, len(row.input_ids) - 1):
            t, s = teacher[pos], student[pos]
            m = torch.log(0.3 * t.exp() + 0.7 * s.exp())
            costs.append(0.3 * (t.exp() * (t - m)).sum() + 0.7 * (s.exp() * (s - m)).sum())
    torch.testing.assert_close(value, torch.stack(costs).mean(), rtol=1e-10, atol=0)
    value.backward()
    gradients = torch.autograd.grad(torch.stack(costs).mean(), list(trainable(step).values()))
    for (name, parameter), plain in zip(trainable(step).items(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, plain, rtol=1e-8, atol=1e-12, msg=name)


def test_without_sampling_it_is_logit_distillation(tmp_path):
    loss = JSD(beta=0.2, temperature=1.5)
    pairs = [
        trained(method, tmp_path / method.name, dropout=0.2)
        for method in (GKD(on_policy=0.0, loss=loss), LogitKD(outputs=(loss,)))
    ]
    (a, ours), (b, theirs) = pairs
    assert [entry["loss"] for entry in a.entries] == [entry["loss"] for entry in b.entries]
    assert all(torch.equal(p, theirs[name]) for name, p in ours.items())


def test_some_steps_sample_and_others_do_not():
    method = GKD(on_policy=0.25, max_new_tokens=1)
    _, _, step = adapted_step(method, make_context())
    chosen = [step.rewrite(ROWS[:1], i) != ROWS[:1] for i in range(80)]
    assert 0.1 < sum(chosen) / 80 < 0.4
    _, _, other = adapted_step(method, make_context(seed=1))
    assert chosen != [other.rewrite(ROWS[:1], i) != ROWS[:1] for i in range(80)]


def test_answers_are_as_long_as_given_ones_at_most_unless_it_is_said():
    rows = [replace(row, input_ids=row.input_ids[: row.n_prompt + 4]) for row in make_examples(9)]
    rows = [row for row in rows if row.n_supervised == 4]
    _, _, step = adapted_step(ALWAYS, make_context())
    assert {row.n_supervised for row in step.rewrite(rows, 0)} <= {1, 2, 3, 4}
    _, _, step = adapted_step(GKD(on_policy=1.0, max_new_tokens=13), make_context())
    assert max(row.n_supervised for row in step.rewrite(rows, 0)) > 4


def test_no_answer_goes_beyond_the_positions_of_the_models():
    context = make_context()
    context.teacher.module.config.max_position_embeddings = 20
    _, _, step = adapted_step(GKD(on_policy=1.0, max_new_tokens=19), context)
    answers = step.rewrite(ROWS, 0)
    assert max(len(row.input_ids) for row in answers) <= 20
    with pytest.raises(UserError, match="'max_new_tokens' is 20, but the models have 20 positions"):
        GKD(max_new_tokens=20).check(context.teacher, context.student, 5)


# seed and step


def test_seed_and_step_decide_what_is_sampled():
    def answers(seed, step):
        return adapted_step(ALWAYS, make_context(seed=seed))[-1].rewrite(ROWS, step)

    assert answers(0, 3) == answers(0, 3)
    assert answers(0, 3) != answers(0, 4)
    assert answers(0, 3) != answers(1, 3)


def test_training_does_not_depend_on_the_size_of_micro_batches(tmp_path):
    found = [
        trained(GKD(), tmp_path / str(size), options=OPTIONS.model_copy(update={"micro_batch_size": size}))
        for size in (None, 1, 2, 3)
    ]
    whole, adapters = found[0]
    assert len({entry["supervised"] for entry in whole.entries}) > 2
    for history, others in found[1:]:
        for a, b in zip(whole.entries, history.entries, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-10)
            assert (a["tokens"], a["supervised"]) == (b["tokens"], b["supervised"])
        for name, value in adapters.items():
            torch.testing.assert_close(others[name], value, rtol=1e-8, atol=1e-10)


def test_a_training_killed_goes_on_to_the_same_bits(tmp_path):
    class Killed(Exception):
        pass

    def kill(done):
        if done == 3:
            raise Killed

    whole, expected = trained(GKD(), tmp_path / "whole", dropout=0.2)
    with pytest.raises(Killed):
        trained(GKD(), tmp_path / "killed", dropout=0.2, advance=kill)
    torch.rand(11)
    again, found = trained(GKD(), tmp_path / "killed", dropout=0.2)
    assert [entry["loss"] for entry in again.entries] == [entry["loss"] for entry in whole.entries]
    assert all(torch.equal(found[name], value) for name, value in expected.items())


# what is refused


def test_what_cannot_work_is_refused():
    with pytest.raises(UserError, match=r"must look at the teacher's logits; use one of fisher, jsd, kl, reverse_kl"):
        GKD(loss=Cosine())
    with pytest.raises(UserError, match="'temperature' has no effect where 'on_policy' is 0"):
        GKD(on_policy=0.0, temperature=0.7)
    with pytest.raises(UserError, match="'max_new_tokens' has no effect where 'on_policy' is 0"):
        GKD(on_policy=0.0, max_new_tokens=5)
    student = make_model(**STUDENT)
    with pytest.raises(UserError, match="'top_k' is 99"):
        GKD(loss=ForwardKL(top_k=99)).check(student, student, 3)
