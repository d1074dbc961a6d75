"""A small training that can be stopped after any step."""

from pair import PAD, adapted_step, make_context, make_examples, trainable

from semalign.methods.semalign import SemAlign
from semalign.training import TrainingOptions, train

OPTIONS = TrainingOptions(epochs=2, batch_size=3, learning_rate=0.02, checkpoint_every=2, diagnose_every=3)
N_EXAMPLE = 8  # three batches an epoch, the last one of two rows: six steps


class Stopped(Exception):
    pass


def start(folder, *, stop_at=None, method=None, options=OPTIONS, seed=4):
    """A training with dropout on, stopped after `stop_at` steps; its history and adapters."""
    _, _, step = adapted_step(method or SemAlign(), make_context(), dropout=0.3, seed=seed)

    def advance(done):
        if done == stop_at:
            raise Stopped

    history = train(step, make_examples(N_EXAMPLE), options, pad_id=PAD, seed=seed, folder=folder, advance=advance)
    return history, {name: p.detach().clone() for name, p in trainable(step).items()}


def timeless(entries):
    return [{name: value for name, value in entry.items() if name != "tokens_per_second"} for entry in entries]
