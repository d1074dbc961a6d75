"""The short trainings whose loss curves are on file under tests/golden."""

from pair import PAD, adapted_step, make_context, make_examples

from semalign.methods.semalign import SemAlign
from semalign.methods.sft import SFT
from semalign.training import TrainingOptions, train

CURVES = {"semalign": SemAlign(), "sft": SFT()}
OPTIONS = TrainingOptions(epochs=3, batch_size=6, micro_batch_size=4, learning_rate=0.01, diagnose_every=4)
KEPT = ("step", "loss", "terms", "cosine", "grad_norm", "term_gradient_norms", "tokens", "lr")


def curve(name, folder):
    """What each step of a training measures, but for times."""
    _, _, step = adapted_step(CURVES[name], make_context())
    history = train(step, make_examples(14), OPTIONS, pad_id=PAD, seed=0, folder=folder)
    return [{entry: value for entry, value in step.items() if entry in KEPT} for step in history.entries]
