"""Training: the loop, its options, checkpoints and the signs of trouble it watches for."""

from .loop import History, train
from .options import LoraOptions, TrainingOptions

__all__ = ["History", "LoraOptions", "TrainingOptions", "train"]
