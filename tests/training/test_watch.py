"""Signs of trouble, planted in histories."""

from semalign.training.watch import trouble


def history(n=40, *, cosine=0.6, norms=None, grad_norm=1.0, **spikes):
    entries = [{"step": step, "loss": 1.0, "cosine": {"3->1": cosine}, "grad_norm": grad_norm} for step in range(n)]
    for step in range(0, n, 10):
        entries[step]["term_gradient_norms"] = dict(norms or {"latent_cosine": 1.0, "onehot_cosine": 2.0})
    return entries


def test_a_good_training_has_no_warning():
    assert trouble("semalign", history()) == []


def test_no_history_has_no_warning():
    assert trouble("semalign", []) == []


def test_a_low_cosine_after_a_tenth_names_the_pair():
    (warning,) = trouble("semalign", history(cosine=0.05))
    assert warning.startswith("semalign: the cosine of pair 3->1 is 0.05 after the first tenth of training")


def test_a_map_that_is_learned_may_begin_far_off():
    assert trouble("hidden_kd", history(cosine=0.05), learned_map=True) == []


def test_only_the_cosine_after_a_tenth_counts():
    entries = history()
    for entry in entries[:3] + entries[4:]:
        entry["cosine"]["3->1"] = 0.0
    assert trouble("semalign", entries) == []
    entries[3]["cosine"]["3->1"] = 0.0
    assert len(trouble("semalign", entries)) == 1


def test_a_short_training_is_judged_by_its_first_step():
    assert len(trouble("semalign", history(3, cosine=-0.2))) == 1


def test_a_term_that_hardly_counts_is_named():
    (warning,) = trouble("semalign", history(norms={"latent_cosine": 0.002, "onehot_cosine": 0.3}))
    assert warning.startswith("semalign: the gradient of 'onehot_cosine' is 150 times that of 'latent_cosine'")


def test_one_term_has_nothing_to_be_unbalanced_with():
    assert trouble("sft", history(norms={"cross_entropy": 5.0})) == []


def test_a_jump_of_the_gradient_norm_is_placed():
    entries = history()
    entries[17]["grad_norm"] = 250.0
    (warning,) = trouble("semalign", entries)
    assert warning == "semalign: the gradient norm jumped to 250 at step 17 (median 1)"


def test_warnings_add_up():
    entries = history(cosine=0.0, norms={"a": 1.0, "b": 1e-4})
    entries[5]["grad_norm"] = 1e3
    assert len(trouble("x", entries)) == 3


def test_what_went_wrong_is_said_first_even_without_a_step():
    assert trouble("sft", [], mishaps=["checkpoint-5 was damaged"]) == ["sft: checkpoint-5 was damaged"]
    assert trouble("sft", history(cosine=0.05), mishaps=["one", "two"])[:2] == ["sft: one", "sft: two"]
